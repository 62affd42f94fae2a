"""Fixtures: a video, a folder for indexes, and what readers warn of."""
import pytest

from tests.helpers.videos import make_video
from vicmae_mm.datasets.readers import IndexStore, messages


@pytest.fixture
def video(tmp_path) -> str:
    return str(make_video(tmp_path / 'a.mp4', 40, gop=10))


@pytest.fixture
def store(tmp_path) -> IndexStore:
    return IndexStore(str(tmp_path / 'indexes'))


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """Warnings that readers log once in a process, here from an empty state."""
    texts: list[str] = []
    monkeypatch.setattr(messages, '_said', set())
    monkeypatch.setattr(messages, 'print_log', lambda text, **kwargs: texts.append(text))
    return texts
