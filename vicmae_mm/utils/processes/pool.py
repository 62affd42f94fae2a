"""Calling a function on many files in processes of their own, so that one file costs only itself.

``multiprocessing.Pool`` waits forever for a worker that crashed, ``ProcessPoolExecutor`` gives
up all the others, and neither can end a call that hangs; with decoders both happen.
"""
import logging
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from vicmae_mm.utils.errors import RunError
from vicmae_mm.utils.processes.failed_call import FailedCall, exit_text

Task = TypeVar('Task')
Result = TypeVar('Result')

_IDLE = object()


class WorkerError(RunError):
    """A worker can not start, or the function raised something that is not about one file."""


def num_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_isolated(function: Callable[[Task], Result], tasks: Iterable[Task], num_workers: int,
                 timeout: float) -> Generator[tuple[Task, Result | FailedCall], None, None]:
    """Call ``function(task)`` for every task in ``num_workers`` processes.

    A call that takes longer than ``timeout`` is ended, and a process that crashes replaced. Use
    within ``contextlib.closing``: closing the generator ends all processes at once.

    Args:
        function (Callable): Can be pickled, as can tasks and results.
        tasks (Iterable): Taken as needed.
        num_workers (int): Processes, >= 1.
        timeout (float): Seconds a call may take.

    Yields:
        tuple: Task and result, or :class:`FailedCall`, in the order they finish.

    Raises:
        OSError: The function raised one.
        WorkerError: It raised anything else, or a process did not start.
    """
    queue = iter(tasks)
    context = _context(function.__module__)
    workers: list[_Worker] = []
    try:
        workers += [_Worker(context, function, timeout) for _ in range(num_workers)]
        while workers:
            for worker in _until_something_happens(workers):
                task, outcome = worker.collect()
                if task is not _IDLE:
                    yield task, outcome
                if isinstance(outcome, FailedCall):
                    workers.remove(worker)
                    worker.kill()
                    worker = _Worker(context, function, timeout)
                    workers.append(worker)
                elif not worker.assign(queue):
                    workers.remove(worker)
                    worker.kill()
    finally:
        for worker in workers:
            worker.kill()


def _context(module: str) -> Any:
    """Processes are forked from a server that has ``module`` imported, and no threads.

    (Forking this process is unsafe as it may have threads, such as a progress bar's.)
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([module, __name__])
    return context


class _Worker:
    """A process, and the task it is at."""

    def __init__(self, context: Any, function: Callable, timeout: float) -> None:
        self.connection, child = context.Pipe()
        self.process = context.Process(target=_serve, args=(child, function), daemon=True)
        self.process.start()
        child.close()  # or the end of the process would not be noticed
        self.timeout = timeout
        self.task: Any = _IDLE
        self.deadline = float('inf')

    def assign(self, queue: Iterator) -> bool:
        """Send the next task; False if there is none."""
        for task in queue:
            self.connection.send(task)
            self.task, self.deadline = task, time.monotonic() + self.timeout
            return True
        return False

    def collect(self) -> tuple[Any, Any]:
        """The task that has come to an end, and how."""
        task = self.task
        self.task, self.deadline = _IDLE, float('inf')
        if not self.connection.poll():
            return task, FailedCall.timed_out(self.timeout)
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            if task is _IDLE:
                raise WorkerError(
                    f'A worker process can not start ({exit_text(code)}).') from None
            return task, FailedCall.crashed(code)
        if kind == 'os_error':
            raise OSError(*value)
        if kind == 'error':
            raise WorkerError(f'{task!r}:\n{value}')
        return task, value

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _until_something_happens(workers: list[_Worker]) -> list[_Worker]:
    """Workers that have sent something, died, or are out of time."""
    now = time.monotonic()
    left = min(worker.deadline for worker in workers) - now
    ready = wait([worker.connection for worker in workers],
                 None if left == float('inf') else max(left, 0))
    now = time.monotonic()
    return [worker for worker in workers
            if worker.connection in ready or worker.deadline <= now]


def _serve(connection: Connection, function: Callable) -> None:
    """What a worker process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's business
    logging.disable(logging.WARNING)  # and so is the terminal
    connection.send(('ready', None))
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            reply: tuple[str, Any] = ('done', function(task))
        except OSError as error:
            args = (error.errno, error.strerror, error.filename) if error.errno else (str(error), )
            reply = ('os_error', args)
        except Exception:
            reply = ('error', traceback.format_exc())
        try:
            connection.send(reply)
        except BrokenPipeError:
            return
