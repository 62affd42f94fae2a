"""Calling a function on many files in worker processes, so that a bad file affects only itself."""
import logging
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from vicmae_mm.utils.errors import RunError

Task = TypeVar('Task')
Result = TypeVar('Result')

_IDLE = object()
_progress: Any = None  # in a worker: when its task began or last made progress


class WorkerError(RunError):
    """A worker cannot start, or the function raised an error that is not about one file."""


@dataclass(frozen=True)
class FailedCall:
    """Takes the place of a result if the process of a call crashed or hung; says which."""
    reason: str

    @classmethod
    def timed_out(cls, seconds: float) -> 'FailedCall':
        return cls(f'took longer than {seconds:g} s')

    @classmethod
    def crashed(cls, exitcode: int | None) -> 'FailedCall':
        return cls(f'crashed the process that read it ({exit_text(exitcode)})')


def exit_text(code: int | None) -> str:
    """Describe an exit code as in ``multiprocessing``, where negative numbers are signals."""
    if code is None or code >= 0:
        return f'exit code {"unknown" if code is None else code}'
    name = signal.Signals(-code).name
    # It is the signal that the kernel sends when memory runs out.
    return f'{name}; out of memory?' if name == 'SIGKILL' else name


def num_cores() -> int:
    """Number of cores this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def still_working() -> None:
    """In a worker, restart the time limit of the call; elsewhere, do nothing."""
    if _progress is not None:
        _progress.value = time.monotonic()


# Not multiprocessing.Pool, which waits forever for a worker that crashed, nor ProcessPoolExecutor,
# which then fails all other calls. Neither can end a call that hangs. Decoders crash and hang.
def run_isolated(function: Callable[[Task], Result], tasks: Iterable[Task], num_workers: int,
                 timeout: float) -> Generator[tuple[Task, Result | FailedCall], None, None]:
    """Call ``function(task)`` for every task in ``num_workers`` processes.

    A call that exceeds the time limit is ended; a process that crashes is replaced. Use it within
    ``contextlib.closing``: closing the generator ends all processes immediately. Function, tasks,
    which are consumed as needed, and results must be picklable. The time limit is in seconds, from
    the last :func:`still_working` of a call if it has one. Yielded are task and result, or
    :class:`FailedCall`, in the order in which they finish.

    Raises:
        OSError: The function raised it.
        WorkerError: The function raised any other error, or a process did not start.
    """
    queue = iter(tasks)
    workers: list[_Worker] = []
    try:
        workers += [_Worker(function, timeout) for _ in range(num_workers)]
        while workers:
            for worker in _wait_for_any(workers):
                task, outcome = worker.collect()
                if task is not _IDLE:
                    yield task, outcome
                failed = isinstance(outcome, FailedCall)
                if failed or not worker.assign(queue):
                    workers.remove(worker)
                    worker.kill()
                if failed:
                    workers.append(_Worker(function, timeout))
    finally:
        for worker in workers:
            worker.kill()


class _Worker:
    """A process and its current task."""

    def __init__(self, function: Callable, timeout: float) -> None:
        # This process may have threads, such as a progress bar's: in a fork of it, locks that they
        # hold would stay locked. The server has none, and imports the function's module only once.
        context = multiprocessing.get_context('forkserver')
        module = getattr(function, 'func', function).__module__  # a partial's own is functools
        context.set_forkserver_preload([module, __name__])
        # Ctrl-C belongs to this process, also while the server is importing.
        resource_tracker.ensure_running()  # unblocks it when it starts
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        forkserver.ensure_running()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self.connection, child = context.Pipe()
        self.progress = context.Value('d', lock=False)
        self.process = context.Process(
            target=_serve, args=(child, function, self.progress), daemon=True)
        self.process.start()
        child.close()  # or the end of the process would go unnoticed
        self.timeout = timeout
        self.task: Any = _IDLE

    @property
    def deadline(self) -> float:
        """When its task must be done; before the first one, importing may take long."""
        return float('inf') if self.task is _IDLE else self.progress.value + self.timeout

    def assign(self, queue: Iterator) -> bool:
        """Send the next task; False if there is none."""
        for task in queue:
            self.progress.value = time.monotonic()
            self.connection.send(task)
            self.task = task
            return True
        return False

    def collect(self) -> tuple[Any, Any]:
        """The task that has ended, and its outcome."""
        task = self.task
        self.task = _IDLE
        if not self.connection.poll():
            return task, FailedCall.timed_out(self.timeout)
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            if task is _IDLE:
                raise WorkerError(f'A worker process cannot start ({exit_text(code)}).') from None
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


def _wait_for_any(workers: list[_Worker]) -> list[_Worker]:
    """Wait for workers that have sent something, died, or exceeded their time limit."""
    remaining = min(worker.deadline for worker in workers) - time.monotonic()
    ready = wait([worker.connection for worker in workers],
                 min(max(remaining, 0), 86_400))  # the system takes 24 days at most
    now = time.monotonic()
    return [worker for worker in workers if worker.connection in ready or worker.deadline <= now]


def _serve(connection: Connection, function: Callable, progress: Any) -> None:
    """The loop of a worker process."""
    global _progress
    _progress = progress
    # The terminal belongs to the main process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.WARNING)
    with suppress(BrokenPipeError):  # it has ended meanwhile
        connection.send(('ready', None))
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            reply: tuple[str, Any] = ('done', function(task))
        except OSError as error:
            # A disk error (e.g. full) is not the video's fault, so it stops the tool.
            args = (error.errno, error.strerror, error.filename) if error.errno else (str(error), )
            reply = ('os_error', args)
        except Exception:
            reply = ('error', traceback.format_exc())
        try:
            connection.send(reply)
        except BrokenPipeError:
            return
