"""Small real videos, good and bad, and a dataset config of them."""
from pathlib import Path

import pytest

from tests.helpers.videos import make_audio, make_video

from .helpers import BAD, GOOD, NUM_GOOD, PACK, READ, write_list


@pytest.fixture(scope='module')
def clips(tmp_path_factory) -> Path:
    """8 good videos (a space in their paths), and 4 files that are none; a 5th is missing."""
    root = tmp_path_factory.mktemp('clips')
    (root / 'good one').mkdir()
    (root / 'bad').mkdir()
    for i in range(NUM_GOOD):
        make_video(root / 'good one' / f'v {i}.mp4', num_frames=12 + i)
    (root / 'bad' / 'empty.mp4').touch()
    (root / 'bad' / 'text.mp4').write_text('<html>404 not found</html>\n' * 50)
    whole = (root / 'good one' / 'v 0.mp4').read_bytes()
    (root / 'bad' / 'truncated.mp4').write_bytes(whole[:len(whole) // 2])
    make_audio(root / 'bad' / 'audio.mp4')
    return root


@pytest.fixture
def config(clips, tmp_path):
    """Dataset config of good and bad videos, any share of bad ones allowed."""
    ann_file = write_list(tmp_path / 'videos.txt', GOOD + BAD)
    return dict(type='vicmae_mm.VideoPairDataset', ann_file=ann_file,
                data_prefix=dict(video=str(clips)), pipeline=READ + PACK, max_bad_share=1)
