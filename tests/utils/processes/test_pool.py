"""A file affects only its own result, whatever it does to its process."""
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from vicmae_mm.utils.processes.pool import FailedCall, WorkerError, run_isolated

from .jobs import behave


def run(tasks: list[str], num_workers: int = 2,
        timeout: float = 60.) -> dict[str, str | FailedCall]:
    with closing(run_isolated(behave, tasks, num_workers, timeout)) as results:
        return dict(results)


def test_every_task_has_its_result():
    tasks = [str(i) for i in range(50)]
    assert run(tasks, 3) == {task: f'{task} done' for task in tasks}
    assert run(['one'], 3, 1e300) == {'one': 'one done'}
    assert run([], 0) == {}


def test_crash_and_hang_affect_only_their_task():
    good = [str(i) for i in range(6)]
    begin = time.monotonic()
    results = run([*good[:2], 'crash', *good[2:4], 'hang', 'exit', *good[4:]], 2, timeout=3)
    assert time.monotonic() - begin < 30
    assert {task: results.pop(task) for task in good} == {task: f'{task} done' for task in good}
    assert results['crash'] == FailedCall('crashed the process that read it (SIGSEGV)')
    assert results['exit'] == FailedCall('crashed the process that read it (exit code 3)')
    assert results['hang'] == FailedCall('took longer than 3 s')


def test_a_long_task_that_makes_progress_is_not_ended():
    assert run(['steady'], 1, timeout=1) == {'steady': 'steady done'}


def test_every_process_may_crash():
    assert len(run([f'crash {i}' for i in range(5)], 2)) == 5


def test_an_error_that_is_not_about_a_file_stops_all():
    with pytest.raises(WorkerError, match=r"(?s)'fault':.*KeyError: 'a fault of the program'"):
        run(['fault'])
    with pytest.raises(OSError, match='No space left on device') as error:
        run(['disk /there'])
    assert error.value.errno == 28 and error.value.filename == '/there'


def process_id(mark: Path) -> int:
    while not (mark.exists() and mark.read_text()):
        time.sleep(.02)
    return int(mark.read_text())


def test_ctrl_c_is_left_to_the_main_process(tmp_path):
    nap = f'nap {tmp_path / "pid"}'
    with closing(run_isolated(behave, [nap, 'ok'], 2, 60)) as results:
        assert next(results) == ('ok', 'ok done')
        os.kill(process_id(tmp_path / 'pid'), signal.SIGINT)
        assert list(results) == [(nap, f'{nap} done')]


def test_closing_ends_the_processes(tmp_path):
    mark = tmp_path / 'pid'
    with closing(run_isolated(behave, [f'hang {mark}', 'ok'], 2, 60)) as results:
        assert next(results) == ('ok', 'ok done')
        process_id(mark)
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_what_cannot_be_sent_is_an_error():
    """A function that cannot be sent to a process is an error, not an endless wait."""
    with pytest.raises((AttributeError, WorkerError)):
        with closing(run_isolated(lambda task: task, ['a'], 1, 5)) as results:
            list(results)
