"""A function in a separate process: results, crashes, hangs, errors, cleaning up."""
import copy
import multiprocessing
import os
import pickle
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.utils.processes.isolated_call import IsolatedFunction
from vicmae_mm.utils.processes.pool import FailedCall

TENSOR = torch.arange(2**16, dtype=torch.int32)
VALUES = [
    None, dict(a=[1, 'ü'], b=(2.5, )), np.arange(3), np.arange(2**16).reshape(4, -1).T,
    np.asfortranarray(np.ones((300, 200))), TENSOR, TENSOR.reshape(256, 256).T, TENSOR[::3],
    torch.ones(40000, dtype=torch.bfloat16), torch.tensor(3), torch.empty(0, 3),
    torch.nn.Parameter(torch.ones(10000)), torch.ones(3, requires_grad=True),
    [torch.full((2**21, ), i) for i in range(3)],  # 48 MiB: more than the shared memory
]


class Unpicklable:
    """Raises an error of its own when it is pickled."""

    def __reduce__(self) -> tuple:
        raise RuntimeError('not to be pickled')


def behave(what: str) -> object:
    """Do what the argument says."""
    if what == 'crash':
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == 'exit':
        os._exit(3)
    if what == 'hang':
        time.sleep(60)
    if what == 'bad':
        raise VideoError('a.mp4', 'is bad')
    if what == 'bug':
        raise ZeroDivisionError('a bug')
    if what == 'lambda':
        return lambda: None
    if what == 'unpicklable':
        return Unpicklable()
    return os.getpid() if what == 'pid' else what


def is_there(pid: int) -> bool:
    """Whether a process runs, or is a zombie."""
    return os.path.exists(f'/proc/{pid}')


def gone(pid: int) -> bool:
    """Whether a process ends within 5 seconds; init may take a while to reap an orphan."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f'/proc/{pid}/stat').read_text().rsplit(')')[-1].split()[0] == 'Z':
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(.01)
    return False


def test_results_arrive_as_they_were():
    isolated = IsolatedFunction(lambda i: VALUES[i], 10)
    for _ in range(2):
        for i, value in enumerate(VALUES):
            got = isolated(i)
            assert type(got) is type(value)
            if isinstance(value, list):
                assert all(map(torch.equal, got, value))
            elif isinstance(value, torch.Tensor):
                assert torch.equal(got, value) and got.requires_grad == value.requires_grad
            elif isinstance(value, np.ndarray):
                assert got.dtype == value.dtype and np.array_equal(got, value)
                got[:] = 0  # memory of its own
            else:
                assert got == value


def test_crash_and_hang_affect_only_their_call():
    isolated = IsolatedFunction(behave, .3)
    assert isolated('a') == 'a'
    for call, outcome in (('crash', FailedCall('crashed the process that read it (SIGSEGV)')),
                          ('exit', FailedCall('crashed the process that read it (exit code 3)')),
                          ('hang', FailedCall('took longer than 0.3 s'))):
        pid = isolated('pid')
        assert isolated(call) == outcome
        assert not is_there(pid)
        assert isolated('a') == 'a'


def test_a_crash_is_blamed_on_a_call_only_in_a_fresh_process():
    calls = []

    def second_call_crashes(i: int) -> int:
        calls.append(i)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        return i

    isolated = IsolatedFunction(second_call_crashes, 10)
    assert [isolated(i) for i in range(4)] == [0, 1, 2, 3]


def test_killed_while_idle():
    isolated = IsolatedFunction(behave, 10)
    os.kill(isolated('pid'), signal.SIGKILL)
    time.sleep(.05)
    assert isolated('a') == 'a'


def test_errors_keep_their_type_and_their_traceback():
    isolated = IsolatedFunction(behave, 10)
    pid = isolated('pid')
    with pytest.raises(ZeroDivisionError, match=r"(?s)Traceback.*raise ZeroDivisionError.*a bug"):
        isolated('bug')
    with pytest.raises(VideoError) as caught:
        isolated('bad')
    assert (caught.value.path, caught.value.reason) == ('a.mp4', 'is bad')
    assert "raise VideoError('a.mp4', 'is bad')" in str(caught.value.__cause__)
    with pytest.raises(AttributeError, match='pickle'):
        isolated('lambda')
    with pytest.raises(RuntimeError, match='not to be pickled'):
        isolated('unpicklable')
    assert isolated('pid') == pid


def test_printing_to_a_closed_pipe_is_not_a_crash(monkeypatch):
    def shout() -> int:
        print('a')
        return os.getpid()

    reading, writing = os.pipe()
    os.close(reading)
    stream = open(writing, 'w', buffering=100)
    monkeypatch.setattr(sys, 'stdout', stream)
    print('not written yet')
    isolated = IsolatedFunction(shout, 10)
    assert isolated() == isolated()
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_ctrl_c_during_a_call_does_not_mix_up_the_replies():
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupt_parent(i: int) -> int:
        if i == 0:
            os.kill(os.getppid(), signal.SIGALRM)
            time.sleep(.2)
        return i

    isolated = IsolatedFunction(interrupt_parent, 10)
    # Starts the process: a signal during os.fork is handled in its callbacks (logging has some),
    # where Python prints and drops exceptions.
    assert isolated(1) == 1
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            isolated(0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert isolated(2) == 2


def test_signals_for_the_parent_are_ignored():
    isolated = IsolatedFunction(behave, 10)
    pid = isolated('pid')
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        os.kill(pid, number)
    assert isolated('pid') == pid


def test_copies_and_forks_start_their_own_process():
    isolated = IsolatedFunction(behave, 10)
    pid = isolated('pid')
    for other in (copy.deepcopy(isolated), pickle.loads(pickle.dumps(isolated))):
        assert other('pid') not in (pid, os.getpid())
    context = multiprocessing.get_context('fork')
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put([isolated('pid'), os.getpid()]))
    child.start()
    theirs = queue.get()
    child.join()
    assert len({pid, os.getpid(), *theirs}) == 4
    assert gone(theirs[0]) and isolated('pid') == pid


def test_nothing_is_left_when_it_is_dropped():
    files = len(os.listdir('/proc/self/fd'))
    isolated = IsolatedFunction(behave, 10)
    pid = isolated('pid')
    del isolated
    assert not is_there(pid) and len(os.listdir('/proc/self/fd')) == files


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_during_a_call(isolated: IsolatedFunction) -> None:
    signal.signal(signal.SIGALRM, die)
    signal.setitimer(signal.ITIMER_REAL, .1)
    isolated('hang')


@pytest.mark.parametrize('end', [
    bool, die, pytest.param(die_during_a_call, marks=pytest.mark.skipif(
        sys.platform != 'linux', reason='without prctl, it ends after its call')),
    lambda _: os._exit(0), lambda _: sys.exit(1)])
def test_no_orphan_however_the_parent_ends(end):
    def parent() -> None:
        isolated = IsolatedFunction(behave, 10)
        queue.put(isolated('pid'))
        end(isolated)

    context = multiprocessing.get_context('fork')
    queue = context.SimpleQueue()
    process = context.Process(target=parent)
    process.start()
    pid = queue.get()
    process.join()
    assert gone(pid)
