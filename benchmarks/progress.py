"""How far a measurement is, on standard error."""
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress
from rich.progress import track as rich_track

Item = TypeVar('Item')


def track(items: Sequence[Item], action: str) -> Iterable[Item]:
    """The items, with a bar that says what is being done; at the end one line in a log file."""
    return rich_track(items, action, console=Console(stderr=True))


def track_time(seconds: float, action: str) -> Iterator[None]:
    """Go on for that long, at least once, with a bar of the time."""
    began = time.perf_counter()
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(action, total=seconds)
        while not progress.finished:
            yield
            progress.update(task, completed=time.perf_counter() - began)


@contextmanager
def doing(action: str) -> Iterator[None]:
    """Say in a terminal what is being done, until it is done.

    In a log it would stand between the rows of a table. Nothing is drawn meanwhile, as
    :func:`track` does in a thread, whose time would be measured too.
    """
    if not sys.stderr.isatty():
        yield
        return
    print(f'{action} ...', end='', file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print('\r\x1b[2K', end='', file=sys.stderr, flush=True)
