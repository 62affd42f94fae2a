"""Fixtures: a video, and a folder for indexes."""
import pytest

from tests.helpers.videos import make_video
from vicmae_mm.datasets.readers import IndexStore


@pytest.fixture
def video(tmp_path) -> str:
    return str(make_video(tmp_path / 'a.mp4', 40, gop=10))


@pytest.fixture
def store(tmp_path) -> IndexStore:
    return IndexStore(str(tmp_path / 'indexes'))
