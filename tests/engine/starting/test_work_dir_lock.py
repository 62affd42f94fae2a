"""A work dir that another process trains in is refused; the lock ends with that process."""
import errno
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.distributed import run_distributed
from tests.helpers.runs import FixedPairs, tiny_runner
from vicmae_mm.engine.starting import work_dir_lock
from vicmae_mm.engine.starting.work_dir_lock import (
    WorkDirInUseError,
    lock_work_dir,
    unlock_work_dir,
)

FORK = multiprocessing.get_context('fork')
SAFE = dict(checkpoint=dict(type='vicmae_mm.SafeCheckpointHook', interval=1), logger=None)


def hold(work_dir: str, sender: Any, with_child: bool) -> None:
    """Lock, perhaps start a child, as for reading data, and wait to be killed."""
    work_dir_lock._held.clear()  # what this process has inherited is not its own
    lock_work_dir(work_dir)
    child = 0
    if with_child:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    sender.send(child)
    time.sleep(60)


@pytest.fixture
def holder() -> Iterator[Callable]:
    """Starts a process that holds a work dir; returns it and the id of its child."""
    started: list[int] = []

    def start(work_dir: Path, with_child: bool = False) -> tuple[Any, int]:
        receiver, sender = FORK.Pipe(duplex=False)
        process = FORK.Process(target=hold, args=(str(work_dir), sender, with_child))
        process.start()
        child = receiver.recv()
        started.extend([process.pid, *([child] if child else [])])
        return process, child

    yield start
    for pid in started:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


@pytest.mark.parametrize('with_child', [False, True])
def test_another_process_is_named_until_it_is_killed(with_child, holder, tmp_path):
    process, child = holder(tmp_path, with_child)
    with pytest.raises(WorkDirInUseError, match=(
            rf'{re.escape(str(tmp_path))} is in use by a run: process {process.pid} on '
            rf'{re.escape(os.uname().nodename)}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\. Stop')):
        lock_work_dir(str(tmp_path))
    process.kill()
    process.join()
    if child:
        os.kill(child, 0)  # still there, with the file open
    lock_work_dir(str(tmp_path))
    assert f'process {os.getpid()} ' in (tmp_path / 'run.lock').read_text()
    unlock_work_dir(str(tmp_path))


def test_the_same_process_may_train_again(tmp_path):
    lock_work_dir(str(tmp_path))
    lock_work_dir(f'{tmp_path}/../{tmp_path.name}')
    unlock_work_dir(str(tmp_path))
    unlock_work_dir(str(tmp_path))


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.EOPNOTSUPP, errno.EROFS])
def test_a_file_system_without_locks_is_a_warning(number, tmp_path, monkeypatch):
    def fail(*args: Any) -> None:
        raise OSError(number, os.strerror(number))

    said: list[str] = []
    monkeypatch.setattr(work_dir_lock, 'print_log', lambda text, *_: said.append(text))
    monkeypatch.setattr(work_dir_lock.fcntl, 'lockf', fail)
    lock_work_dir(str(tmp_path))
    unlock_work_dir(str(tmp_path))
    assert 'run.lock cannot be locked' in said[0] and os.strerror(number) in said[0]


def train(work_dir: str) -> str:
    """A run of SafeCheckpointHook; its error."""
    runner = tiny_runner(Path(work_dir), [], epochs=1, dataset=FixedPairs(), default_hooks=SAFE)
    try:
        runner.train()
    except WorkDirInUseError as error:
        return str(error)
    except RuntimeError as error:  # of the other rank, with the message of the main process
        return f'{type(error).__name__}: {error}'
    return 'no error'


def test_every_rank_gets_the_message_and_nothing_is_written(holder, tmp_path):
    process, _ = holder(tmp_path)
    messages = run_distributed(train, 2, str(tmp_path))
    assert all(f'in use by a run: process {process.pid} ' in message for message in messages)
    assert not list(tmp_path.rglob('*.pth'))


def test_a_run_releases_it(tmp_path):
    assert train(str(tmp_path)) == 'no error'
    assert os.path.realpath(tmp_path) not in work_dir_lock._held


def test_testing_needs_no_lock(holder, tmp_path):
    holder(tmp_path)
    runner = tiny_runner(tmp_path, [], epochs=1, dataset=FixedPairs(), default_hooks=SAFE)
    runner._train_loop, runner._test_loop = None, runner.train_loop
    runner.call_hook('before_run')
