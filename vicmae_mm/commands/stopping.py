"""Ctrl-C and SIGTERM end a tool with one line and without a traceback."""
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

_received: list[int] = []


def is_stopped() -> bool:
    """Whether Ctrl-C or SIGTERM has arrived; what is raised from then on is due to it."""
    return bool(_received)


@contextmanager
def stops_quietly() -> Iterator[None]:
    """Let both signals raise KeyboardInterrupt, and end the block with status 130 or 143."""
    _received.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # it is in the background of a script
            signal.signal(number, partial(_stop, os.getpid()))
    try:
        yield
    except BaseException as error:
        _received.extend([signal.SIGINT] if isinstance(error, KeyboardInterrupt) else [])
        if not is_stopped():
            raise
    if is_stopped():
        if os.environ.get('RANK', '0') == '0':
            name = 'Ctrl-C' if _received[0] == signal.SIGINT else 'SIGTERM'
            print(f'Stopped by {name}.', file=sys.stderr, flush=True)
        sys.exit(128 + _received[0])


def _stop(owner: int, number: int, frame: FrameType | None) -> None:
    if os.getpid() != owner:  # a data-loading worker
        os._exit(128 + number)
    _received.append(number)
    # torchrun sends each signal again. Of a single process, a second one ends it at once.
    again = (lambda *_: None) if 'WORLD_SIZE' in os.environ else signal.SIG_DFL
    signal.signal(signal.SIGINT, again)
    signal.signal(signal.SIGTERM, again)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # torch's raises when a worker has ended
    sys.unraisablehook = lambda unraisable: None  # KeyboardInterrupt in a callback or __del__
    raise KeyboardInterrupt
