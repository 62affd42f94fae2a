"""A function called in a process of its own, where it may crash or hang.

``preparation.workers.run_isolated`` does this for the tools, many files at once. A dataset reads
one sample after the other, mostly in a data loader's worker: a process that may start no others
through ``multiprocessing``, so this forks by hand.
"""
import ctypes
import os
import pickle
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe, util
from multiprocessing.connection import Connection
from typing import Any, Generic, NoReturn, TypeVar

import cv2
import torch
from torch._utils import ExceptionWrapper

from vicmae_mm.utils.errors import UserError

from .failed_call import FailedCall
from .shared_memory import SampleSender

Result = TypeVar('Result')
_Reply = tuple[Any, UserError | ExceptionWrapper | None]  # a result or an error

_PARENTS_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
_WHERE = 'in the process that reads samples'
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class IsolatedFunction(Generic[Result]):
    """``function``, called in a process forked from the one that calls.

    The process lives on from call to call. One that crashes or exceeds the time limit is replaced;
    one that crashes over a call that is not its first gets that call a second, fresh process,
    since something earlier may have left it broken. It ends with its parent, however that ends.

    Pickled, copied or forked along, the object starts a process of its own where it is called.

    Args:
        function (Callable): Needs not be picklable; arguments and results do. It is taken as it
            is when the process starts.
        timeout (float): Seconds a call may take, > 0.
    """

    def __init__(self, function: Callable[..., Result], timeout: float) -> None:
        self.function = function
        self.timeout = timeout
        self._process: _Process | None = None

    def __call__(self, *args: Any) -> Result | FailedCall:
        """Call the function.

        Returns:
            What it returns, or :class:`FailedCall` if its process crashed or hung.

        Raises:
            UserError: As the function raised it.
            Exception: Whatever else it raised; the message has the traceback there.
        """
        while True:
            process = self._running_process()
            outcome = process.call(args, self.timeout)
            if not isinstance(outcome, FailedCall):
                return outcome
            self._process = None
            if not process.crashed or process.num_calls == 1:
                return outcome

    def _running_process(self) -> '_Process':
        process = self._process
        if process is None or process.owner != os.getpid():
            process = self._process = _Process(self.function)
        return process

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_process': None}


class _Process:
    """A forked process that calls ``function``, seen from its parent."""

    def __init__(self, function: Callable) -> None:
        requests, self._requests = Pipe(duplex=False)
        self._replies, replies = Pipe(duplex=False)
        self._sender = SampleSender()
        self._poll = select.poll()
        self._poll.register(self._replies.fileno(), select.POLLIN)
        self.owner = os.getpid()
        self.num_calls = 0
        self.crashed = False
        _flush()  # or the child would print it again
        self._pid = os.fork()
        if self._pid == 0:
            self._requests.close()  # or the death of the parent would not be noticed
            self._replies.close()
            _serve(function, requests, replies, self._sender, self.owner)
        requests.close()
        replies.close()
        # Also when this process ends: where nobody adopts orphans (in a container, say) they
        # would stay as zombies.
        self._finalizer = util.Finalize(
            self, _end, (self._pid, self._requests, self._replies), exitpriority=0)

    def call(self, args: tuple, timeout: float) -> Any:
        """The result of one call; or :class:`FailedCall`, and the process has ended."""
        self.num_calls += 1
        try:
            reply = self._exchange(args, timeout)
        except BaseException:  # Ctrl-C: the answer to this call must not become the next one's
            self._finalizer()
            raise
        if reply is None:
            exitcode = self._finalizer()
            return FailedCall.crashed(exitcode) if self.crashed else FailedCall.timed_out(timeout)
        result, error = reply
        if isinstance(error, UserError):
            raise error
        if error is not None:
            error.reraise()
        return result

    def _exchange(self, args: tuple, timeout: float) -> _Reply | None:
        try:
            self._requests.send_bytes(pickle.dumps(args, protocol=5))
            if self._poll.poll(timeout * 1000):
                return self._sender.receive(self._replies)
        except (EOFError, OSError):
            self.crashed = True
        return None


def _end(pid: int, *pipes: Connection) -> int | None:
    """End a child process; its exit code, None if the kernel does not let go of it.

    (One that waits for a disk or network that hangs can't be killed before that comes back.) The
    exit code of a process that is ending by itself stays what it is.
    """
    for pipe in pipes:
        pipe.close()
    try:
        os.kill(pid, signal.SIGKILL)
        for milliseconds in range(45):  # a second together
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(milliseconds / 1000)
    except (ProcessLookupError, ChildProcessError):
        pass  # somebody else has waited for it
    return None


def _serve(function: Callable, requests: Connection, replies: Connection, sender: SampleSender,
           parent: int) -> NoReturn:
    """What the forked process does, until its parent is gone."""
    try:
        _detach(parent)
        while True:
            args = pickle.loads(requests.recv_bytes())
            try:
                sender.send(replies, _reply(function, args))
            except OSError:  # nobody is there any more
                raise
            except Exception:  # a result that can't be pickled, for whatever reason of its own
                sender.send(replies, (None, ExceptionWrapper(where=_WHERE)))
            _flush()
    except (EOFError, OSError):
        os._exit(0)
    finally:
        os._exit(1)  # doing nothing of what the parent would do at its end


def _reply(function: Callable, args: tuple) -> _Reply:
    try:
        return function(*args), None
    except UserError as error:
        return None, error
    except BaseException:
        return None, ExceptionWrapper(where=_WHERE)


def _detach(parent: int) -> None:
    """Leave behind what a fork inherits but is the parent's business."""
    if sys.platform == 'linux':  # elsewhere it ends at its next look at the pipe
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number in _PARENTS_SIGNALS or callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGABRT, signal.SIGILL,
                   signal.SIGCHLD):  # a data loader's worker handles some, to print what happened
        signal.signal(number, signal.SIG_DFL)
    torch.set_num_threads(1)  # those of the parent were not forked along
    cv2.setNumThreads(0)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):  # a terminal or pipe that is gone, or closed
                stream.flush()
