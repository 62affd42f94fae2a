"""How far a measurement is, on standard error."""
from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

Item = TypeVar('Item')


def track(items: Sequence[Item], action: str) -> Iterable[Item]:
    """The items, with a bar that says what is being done; at the end one line in a log file."""
    return rich_track(items, action, console=Console(stderr=True))
