"""Progress for people: a bar on a terminal, a line every so often in a log."""
from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TypeVar

import rich.progress as bars
from rich.console import Console

LOG_INTERVAL = 30.  # seconds between lines where there is no terminal

Item = TypeVar('Item')


class Progress:
    """Progress over a number of steps, on standard error by default.

    Args:
        action: What is done, such as 'Checking'.
        total: How many steps there are.
        console: Where to write.
        transient: Whether the bar disappears at the end.
    """

    def __init__(self, action: str, total: int, console: Console | None = None,
                 transient: bool = False) -> None:
        self.action, self.total = action, total
        self._console = console or Console(stderr=True)
        self._done, self._bad, self._note = 0, 0, ''
        self._began = self._said = time.monotonic()
        self._bar = bars.Progress(
            bars.TextColumn('{task.description}'), bars.BarColumn(), bars.MofNCompleteColumn(),
            bars.TaskProgressColumn(show_speed=True), bars.TimeRemainingColumn(),
            bars.TextColumn('{task.fields[note]}', markup=False), console=self._console,
            transient=transient, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(action, total=total, note='')

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._bar.stop()

    def advance(self, steps: int = 1, bad: int = 0) -> None:
        """More steps are done.

        Args:
            steps: How many.
            bad: How many of them failed.
        """
        self._bad += bad
        self.update(self._done + steps, f'{self._bad:,} bad' if self._bad else '')

    def update(self, done: int, note: str = '') -> None:
        """Show that ``done`` steps are done in all, and a note beside the numbers."""
        self._done, self._note = done, note
        self._bar.update(self._task, completed=done, note=self._note)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._said >= LOG_INTERVAL:
            self._said = now
            self.say(f'{self.action}: {done:,} of {self.total:,}{self._left(now)}'
                     f'{f", {self._note}" if self._note else ""}')

    def say(self, text: str) -> None:
        """Print a line, above the bar."""
        say(text, self._console)

    def _left(self, now: float) -> str:
        if not 0 < self._done < self.total:
            return ''
        seconds = (now - self._began) / self._done * (self.total - self._done)
        return f', {duration(seconds)} left'


def track(items: Sequence[Item], action: str) -> Iterator[Item]:
    """Iterate over items with a :class:`Progress`."""
    with Progress(action, len(items)) as progress:
        for item in items:
            yield item
            progress.advance()


def say(text: str, console: Console | None = None) -> None:
    """Print a line as it is, on standard error by default."""
    (console or Console(stderr=True)).print(text, highlight=False, markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Write seconds as people say them: ``'45 s'``, ``'3 min 20 s'``."""
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'
