"""Tiny videos of two classes, packed, and what a pipeline of them is."""
import shutil
from pathlib import Path

import pytest

from tests.helpers.packing import pack
from tests.helpers.videos import make_video

LENGTHS = [40, 41, 42, 5, 44, 45, 46]  # video 3 has fewer frames than are stored of the others
STORED = 8


@pytest.fixture(scope='session')
def videos(tmp_path_factory) -> Path:
    videos = tmp_path_factory.mktemp('videos')
    for i, length in enumerate(LENGTHS):
        folder = videos / ('a class' if i < 4 else 'b')
        folder.mkdir(exist_ok=True)
        make_video(folder / f'{i}.mp4', length)
    (videos / 'b/text.mp4').write_text('not a video')
    return videos


@pytest.fixture(scope='session')
def packed_once(videos, tmp_path_factory) -> Path:
    return Path(pack(videos, tmp_path_factory.mktemp('packed'), frames=STORED))


@pytest.fixture
def packed(packed_once, tmp_path) -> Path:
    """Three shards, of videos 0 to 2, of 3 to 5, and of 6 and one that is bad; to be changed."""
    return Path(shutil.copytree(packed_once, tmp_path / 'packed'))
