"""Reading videos, good or bad, leaks neither memory nor open files (promise 10)."""
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.datasets.helpers import PACK, READ
from tests.helpers.videos import make_audio, make_video
from vicmae_mm.datasets import SampleIndex, VideoPairDataset
from vicmae_mm.datasets.bad_videos import limit as bad_videos
from vicmae_mm.datasets.bad_videos.limit import BadVideos

WARM_UP, OPENS, CLIPS = 300, 1800, 12


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """8 good clips and 4 bad files."""
    root = tmp_path_factory.mktemp('clips')
    for i in range(CLIPS - 4):
        make_video(root / f'good_{i}.mp4', num_frames=4, audio=i == 0)
    (root / 'text.mp4').write_text('<html>404 not found</html>')
    (root / 'empty.mp4').touch()
    (root / 'truncated.mp4').write_bytes((root / 'good_1.mp4').read_bytes()[:1000])
    make_audio(root / 'sound.mp4')
    return root


def resident(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    return int(Path(f'/proc/{pid}/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def open_files(pid: int) -> int:
    return len(os.listdir(f'/proc/{pid}/fd'))


@pytest.mark.parametrize('decode_timeout, pipeline', [(None, READ), (60., READ + PACK)])
def test_memory_and_open_files_do_not_grow(folder, decode_timeout, pipeline, monkeypatch):
    # Bad videos are never known as such, so that they are opened again and again. (No Mock:
    # one remembers its calls.)
    monkeypatch.setattr(BadVideos, '__contains__', lambda *_: False)
    monkeypatch.setattr(bad_videos, 'print_log', lambda *_: None)
    dataset = VideoPairDataset(
        data_prefix=dict(video=str(folder)), pipeline=pipeline, max_bad_share=1,
        decode_timeout=decode_timeout)
    read(dataset, range(WARM_UP))
    pids = [os.getpid(), *([] if decode_timeout is None else [dataset._isolated._process._pid])]
    memory, files = list(map(resident, pids)), list(map(open_files, pids))
    read(dataset, range(WARM_UP, WARM_UP + OPENS))
    growth = [after / before - 1
              for before, after in zip(memory, map(resident, pids), strict=True)]
    print('growth of resident memory:', [f'{share:.3%}' for share in growth])
    assert all(share < .006 for share in growth)
    assert list(map(open_files, pids)) == files


def read(dataset: VideoPairDataset, numbers: Iterable[int]) -> None:
    for i in numbers:
        assert dataset[SampleIndex(i % CLIPS, 0, i // CLIPS)]
