"""Whatever interrupts a save, last_checkpoint names a complete checkpoint (promise 3)."""
import errno
import os
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.checkpoint import _load_checkpoint

from tests.helpers.distributed import run_distributed
from tests.helpers.runs import FixedPairs, finish_saving, tiny_runner
from vicmae_mm.checkpoints import saving
from vicmae_mm.checkpoints.integrity import find_damage
from vicmae_mm.checkpoints.saving import CheckpointWriteError
from vicmae_mm.commands.run_tool import user_message

OURS, STOCK = 'vicmae_mm.SafeCheckpointHook', 'CheckpointHook'


def make_runner(work_dir: Path, *hooks: Hook, kind: str = OURS, epochs: int = 2,
                **kwargs: Any) -> Runner:
    """Two iterations per epoch; one checkpoint is kept."""
    checkpoint = dict(type=kind, interval=1, max_keep_ckpts=1, **kwargs.pop('checkpoint', {}))
    return tiny_runner(
        work_dir, list(hooks), epochs=epochs, dataset=FixedPairs(),
        default_hooks=dict(checkpoint=checkpoint, logger=None), **kwargs)


def check_run_continues(work_dir: Path) -> None:
    """``last_checkpoint`` loads, and the run ends as if undisturbed, without leftover files."""
    named = Path((work_dir / 'last_checkpoint').read_text())
    assert find_damage(named) is None
    _load_checkpoint(str(named))
    resumed = make_runner(work_dir, resume=True, epochs=3)
    resumed.train()
    assert resumed.epoch == 3 and resumed.iter == 6
    assert files(work_dir) == ['epoch_3.pth', 'last_checkpoint']


def files(work_dir: Path) -> list[str]:
    """Names of the files, without the dumped config and the lock, which every run leaves."""
    names = sorted(path.name for path in work_dir.iterdir() if path.is_file())
    return [name for name in names if not name.endswith('.py') and name != 'run.lock']


# --- kill -9 at each stage ------------------------------------------------------------------

def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def name_of(argument: Any) -> str:
    """Name of a path or descriptor, without the suffix of unfinished files."""
    path = os.readlink(f'/proc/self/fd/{argument}') if isinstance(argument, int) else argument
    return Path(path).name.split('.pth')[0].split('.')[0]


def kill_at(function: Callable, name: str, after: bool, position: int = 0) -> Callable:
    """``function``, but killing the process before or after a call for a certain file."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        hit = name_of(args[position]) == name
        if hit and not after:
            die()
        result = function(*args, **kwargs)
        if hit and after:
            die()
        return result

    return wrapper


def die_in_a_tensor(stream: Any, data: bytes) -> int:
    """Stand in for writing: the first large piece is only half written."""
    if len(data) > 1000:
        stream.file.write(data[:len(data) // 2])
        stream.file.flush()
        die()
    return stream.file.write(data)


# owner and name of the function, the file, kill after the call, argument that names the file
STAGES: dict[str, tuple[Any, str, str, bool, int]] = {
    'before the file': (saving, 'write_checkpoint', 'epoch_2', False, 1),
    'before fsync': (os, 'fsync', 'epoch_2', False, 0),
    'before the rename': (os, 'replace', 'epoch_2', False, 1),
    'after the rename': (os, 'replace', 'epoch_2', True, 1),
    'last_checkpoint half written': (os, 'fsync', 'last_checkpoint', False, 0),
    'before the removal': (os, 'remove', 'epoch_1', False, 0),
    'after the removal': (os, 'remove', 'epoch_1', True, 0),
}


class Armed(Hook):
    """Kill the process at a stage of the save after the second epoch."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def before_train_epoch(self, runner: Runner) -> None:
        """Arm the second epoch."""
        if runner.epoch != 1:
            return
        finish_saving(runner)
        if self.stage == 'in the middle':
            patch.object(saving._Stream, 'write', die_in_a_tensor).start()
        else:
            owner, function, name, after, position = STAGES[self.stage]
            patch.object(owner, function, kill_at(
                getattr(owner, function), name, after, position)).start()


def train_and_die(work_dir: str, stage: str) -> None:
    make_runner(Path(work_dir), Armed(stage)).train()


@pytest.mark.parametrize('stage', ['in the middle', *STAGES])
def test_kill_at_each_stage(stage, tmp_path):
    with pytest.raises(RuntimeError, match=r'ranks \[0\] returned nothing'):
        run_distributed(train_and_die, 1, str(tmp_path), stage)
    newest = 'epoch_2.pth' if stage in list(STAGES)[3:] else 'epoch_1.pth'
    assert newest in files(tmp_path)
    leftovers = [path for path in tmp_path.iterdir() if path.suffix == '.part']
    assert bool(leftovers) == (stage in ('in the middle', *list(STAGES)[1:3], list(STAGES)[4]))
    check_run_continues(tmp_path)


class StockDies(Hook):
    """Kill the process when stock has written half of a checkpoint."""

    def before_train_epoch(self, runner: Runner) -> None:
        """Arm the second epoch."""
        if runner.epoch == 1:
            patch.object(LocalBackend, 'put', put_half).start()


def put_half(backend: LocalBackend, content: bytes, path: str) -> None:
    Path(path).write_bytes(content[:len(content) // 2])
    die()


def train_stock_and_die(work_dir: str) -> None:
    make_runner(Path(work_dir), StockDies(), kind=STOCK).train()


def check_no_checkpoint_loads(work_dir: Path) -> None:
    """Check that no checkpoint loads and that ``last_checkpoint`` names a removed one."""
    assert files(work_dir) == ['epoch_2.pth', 'last_checkpoint']
    assert (work_dir / 'last_checkpoint').read_text().endswith('epoch_1.pth')  # removed
    assert find_damage(work_dir / 'epoch_2.pth')


def test_stock_loses_all_checkpoints(tmp_path):
    with pytest.raises(RuntimeError, match='returned nothing'):
        run_distributed(train_stock_and_die, 1, str(tmp_path))
    check_no_checkpoint_loads(tmp_path)


# --- No space --------------------------------------------------------------------------------

class LimitFileSize(Hook):
    """From the second epoch on, limit files to less than the size of a checkpoint."""

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the limit."""
        if runner.epoch == 1:
            finish_saving(runner)
            size = os.path.getsize(Path(runner.work_dir) / 'epoch_1.pth')
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))


def train_with_limit(work_dir: str, kind: str) -> str | None:
    try:
        make_runner(Path(work_dir), LimitFileSize(), kind=kind).train()
    except OSError as error:
        soft_limit_off()
        return user_message(error)
    raise AssertionError('the limit did nothing')


def soft_limit_off() -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def check_message(message: str, work_dir: Path, reason: str) -> None:
    assert message.startswith(f'{work_dir}/epoch_2.pth could not be written ({reason}): it needs ')
    assert ' bytes, ' in message and ' are free. ' in message and '\n' not in message
    assert message.endswith(f'The newest complete checkpoint is {work_dir}/epoch_1.pth: '
                            'free some space, then use --resume.')


def test_file_size_limit(tmp_path):
    message, = run_distributed(train_with_limit, 1, str(tmp_path), OURS)
    check_message(message, tmp_path, 'File too large')
    assert files(tmp_path) == ['epoch_1.pth', 'last_checkpoint']
    check_run_continues(tmp_path)


def test_stock_loses_all_checkpoints_at_a_file_size_limit(tmp_path):
    run_distributed(train_with_limit, 1, str(tmp_path), STOCK)
    check_no_checkpoint_loads(tmp_path)


class FillDisk(Hook):
    """In the second epoch, leave less space than a checkpoint needs."""

    def before_train_epoch(self, runner: Runner) -> None:
        """Fill the disk."""
        if runner.epoch == 1:
            finish_saving(runner)
            room = os.statvfs(runner.work_dir)
            size = os.path.getsize(Path(runner.work_dir) / 'epoch_1.pth')
            filler = b'\0' * (room.f_bavail * room.f_frsize - size // 2)
            (Path(runner.work_dir) / 'filler').write_bytes(filler)


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 4 MB."""
    disk = tmp_path / 'disk'
    disk.mkdir()
    try:
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', str(disk)], check=True,
                       capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'cannot mount a file system here: {error}')
    yield disk
    subprocess.run(['umount', '-l', str(disk)], check=True)


def test_full_disk(small_disk):
    with pytest.raises(CheckpointWriteError) as caught:
        make_runner(small_disk, FillDisk()).train()
    check_message(user_message(caught.value), small_disk, 'No space left on device')
    assert files(small_disk) == ['epoch_1.pth', 'filler', 'last_checkpoint']
    (small_disk / 'filler').unlink()
    check_run_continues(small_disk)


def test_disk_error(tmp_path, monkeypatch):
    stock = os.fsync

    def fsync(descriptor: int) -> None:
        if name_of(descriptor) == 'epoch_2':
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        stock(descriptor)

    with monkeypatch.context() as patched, pytest.raises(CheckpointWriteError) as caught:
        patched.setattr(os, 'fsync', fsync)
        make_runner(tmp_path).train()
    check_message(user_message(caught.value), tmp_path, 'Input/output error')
    assert files(tmp_path) == ['epoch_1.pth', 'last_checkpoint']
    check_run_continues(tmp_path)
