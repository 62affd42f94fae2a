"""A function called in a separate process, where it may crash or hang: one call at a time."""
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
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from typing import Any, Generic, NoReturn, TypeVar

import cv2
import torch
from torch._utils import ExceptionWrapper

from vicmae_mm.utils.errors import UserError

from .pool import FailedCall
from .shared_memory import SampleSender

Result = TypeVar('Result')
_Reply = tuple[Any, UserError | ExceptionWrapper | None]  # a result or an error

_PARENTS_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
_CRASH_SIGNALS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGABRT, signal.SIGILL)
_WHERE = 'in the process that reads samples'
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class IsolatedFunction(Generic[Result]):
    """``function``, called in a process forked from the caller's, at most ``timeout`` seconds.

    The process serves call after call. One that crashes or exceeds the time limit is replaced. It
    ends with its parent, however that ends. A copy of the object, pickled or inherited by a fork,
    starts a process of its own when it is called. The function need not be picklable, but its
    arguments and results must be. It is copied, with its state, when the process starts.
    """

    def __init__(self, function: Callable[..., Result], timeout: float) -> None:
        self.function = function
        self.timeout = timeout
        self._process: _Process | None = None

    def __call__(self, *args: Any) -> Result | FailedCall:
        """Call the function; returns :class:`FailedCall` if its process crashed or hung.

        Raises:
            UserError: As the function raised it.
            Exception: Any other error of the function, with its traceback in the message.
        """
        while True:
            process = self._process
            if process is None or process.owner != os.getpid():
                process = self._process = _Process(self.function)
            outcome = process.call(args, self.timeout)
            if not isinstance(outcome, FailedCall):
                return outcome
            self._process = None
            # Memory corrupted by an earlier call may crash a later one: this call is to blame only
            # if the process was fresh.
            if not process.crashed or process.num_calls == 1:
                return outcome

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_process': None}


class _Process:
    """A forked process that calls ``function``, as seen from its parent."""

    def __init__(self, function: Callable) -> None:
        requests, self._requests = Pipe(duplex=False)
        self._replies, replies = Pipe(duplex=False)
        self._sender = SampleSender()
        self._poll = select.poll()
        self._poll.register(self._replies.fileno(), select.POLLIN)
        self.owner = os.getpid()
        self.num_calls = 0
        self.crashed = False
        _flush()  # or the child would print the buffered text again
        # Not multiprocessing.Process: a data loader's worker is a daemon, which may not start any.
        self._pid = os.fork()
        if self._pid == 0:
            # With these ends open in the child, it would not notice that the parent is gone.
            self._requests.close()
            self._replies.close()
            _serve(function, requests, replies, self._sender, self.owner)
        requests.close()
        replies.close()
        # Runs at exit, too: where no init process reaps orphans (as in many containers), they
        # would remain as zombies. In a fork of this process, Finalize does nothing.
        self._finalizer = util.Finalize(
            self, _end, (self._pid, self._requests, self._replies), exitpriority=0)

    def call(self, args: tuple, timeout: float) -> Any:
        """The result of one call; after a :class:`FailedCall`, the process has ended."""
        self.num_calls += 1
        try:
            reply = self._exchange(args, timeout)
        except BaseException:  # Ctrl-C: the next call must not receive the reply to this one
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
    """Kill a child process and return its exit code, that of a crash included."""
    for pipe in pipes:
        pipe.close()
    try:
        os.kill(pid, signal.SIGKILL)
        # One second in all: not even SIGKILL ends a process that waits for a hanging disk or
        # network, and without a limit its parent would hang, too.
        for milliseconds in range(45):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(milliseconds / 1000)
    except (ProcessLookupError, ChildProcessError):
        pass  # something else has waited for it
    return None


def _serve(function: Callable, requests: Connection, replies: Connection, sender: SampleSender,
           parent: int) -> NoReturn:
    """The loop of the forked process, until its parent is gone."""
    try:
        _detach(parent)
        while True:
            args = pickle.loads(requests.recv_bytes())
            try:
                sender.send(replies, _reply(function, args))
            except OSError:  # the parent is gone
                raise
            except Exception:  # a result that cannot be pickled, for whatever reason
                sender.send(replies, (None, ExceptionWrapper(where=_WHERE)))
            _flush()
    except (EOFError, OSError):
        os._exit(0)
    finally:
        # Not sys.exit, which would run the exit handlers of the parent.
        os._exit(1)


def _reply(function: Callable, args: tuple) -> _Reply:
    try:
        return function(*args), None
    except UserError as error:
        # Pickles to the error itself, with the traceback of this process as its cause.
        return None, ExceptionWithTraceback(error, error.__traceback__)
    except BaseException:
        return None, ExceptionWrapper(where=_WHERE)


def _detach(parent: int) -> None:
    """Undo what a fork inherits from the parent but must not use."""
    # During a call, only the kernel can notice that the parent dies. On systems other than Linux,
    # the process ends when it next reads its pipe.
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
    # A terminal sends Ctrl-C to all processes; the parent decides what ends. Inherited handlers
    # are the parent's, too.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number in _PARENTS_SIGNALS or callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_IGN)
    # A data loader's worker handles some of these to print a message: here they end the process.
    for number in (*_CRASH_SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    # A fork inherits no threads: waiting for those of the parent's pools would never end.
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # none, closed, or a terminal or pipe that is gone
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
