"""A killed packing run can be continued and gives the same files."""
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from tests.helpers.packing import pack

from .conftest import STORED

FIRST = 'shard-00000.zip'


def pack_and_die(videos: Path, target: Path, name: str, renamed: bool) -> None:
    """Be killed when a file is written: just before or after it gets its name."""
    rename = os.replace

    def killed(source: Path, path: Path) -> None:
        if Path(path).name != name or renamed:
            rename(source, path)
        if Path(path).name == name:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = killed
    pack(videos, target, frames=STORED)


@pytest.mark.parametrize('name', [FIRST, 'shard-00001.zip', 'frames.npy', 'index.json'])
@pytest.mark.parametrize('renamed', [False, True])
def test_repeating_a_killed_run_gives_the_same_files(videos, packed_once, tmp_path, name, renamed):
    child = multiprocessing.get_context('fork').Process(
        target=pack_and_die, args=(videos, tmp_path, name, renamed))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert bool(list(tmp_path.glob('*.part'))) != renamed
    assert (tmp_path / 'index.json').exists() == (renamed and name == 'index.json')
    first = tmp_path / FIRST
    done = first.stat().st_mtime_ns if first.exists() else None
    pack(videos, tmp_path, frames=STORED)
    assert done in (None, first.stat().st_mtime_ns)  # what is there is not made again
    assert ({path.name: path.read_bytes() for path in tmp_path.iterdir()}
            == {path.name: path.read_bytes() for path in packed_once.iterdir()})
