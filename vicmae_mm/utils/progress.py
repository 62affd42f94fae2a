"""Progress reports: a bar on a terminal or in a notebook, a line every 30 seconds in a log."""
from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

import rich.progress as bars
from rich.console import Console

LOG_INTERVAL = 30.  # seconds between lines where there is no terminal
DRAW_INTERVAL = 0.1  # seconds between drawings of the bar

Item = TypeVar('Item')


class Progress:
    """Progress of an action, such as 'Checking', over a number of steps.

    It is written to standard error by default. A ``transient`` bar disappears at the end.
    """

    def __init__(self, action: str, total: int, console: Console | None = None,
                 transient: bool = False) -> None:
        self.action, self.total = action, total
        self._console = console or Console(stderr=True)
        self._done, self._bad = 0, 0
        self._began = self._last_report = time.monotonic()
        self._bar = bars.Progress(
            bars.TextColumn('{task.description}'), bars.BarColumn(), bars.MofNCompleteColumn(),
            bars.TaskProgressColumn(show_speed=True), bars.TimeRemainingColumn(),
            bars.TextColumn('{task.fields[note]}', markup=False), console=self._console,
            # No thread that redraws: a process forked meanwhile would inherit its locks.
            auto_refresh=False, transient=transient, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(action, total=total, note='')
        self._cell: Any = None  # the place of the bar in the output of a notebook's cell

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()
        if self._cell:
            self._draw_in_cell()

    def advance(self, steps: int = 1, bad: int = 0) -> None:
        """Report further steps, of which ``bad`` failed."""
        self._bad += bad
        self.update(self._done + steps, f'{self._bad:,} bad' if self._bad else '')

    def update(self, done: int, note: str = '') -> None:
        """Report the total number of steps done, with a note after the numbers."""
        self._done = done
        self._bar.update(self._task, completed=done, note=note)
        draws = (self._bar.refresh if self._console.is_terminal else
                 self._draw_in_cell if self._console.is_jupyter and self.total > 1 else None)
        now = time.monotonic()
        if now - self._last_report < (DRAW_INTERVAL if draws else LOG_INTERVAL):
            return
        self._last_report = now
        if draws:
            draws()
        else:
            rest = duration((now - self._began) / max(done, 1) * (self.total - done))
            left = f'{rest} left' * (0 < done < self.total)
            parts = f'{self.action}: {done:,} of {self.total:,}', left, note
            self.say(', '.join(filter(None, parts)))

    def _draw_in_cell(self) -> None:
        """Draw the bar as text; rich's own bar for notebooks needs ipywidgets."""
        from IPython.display import display
        plain = Console(width=120, force_jupyter=False, color_system=None)
        with plain.capture() as drawn:
            plain.print(self._bar.get_renderable())
        text = {'text/plain': drawn.get()}
        self._cell = self._cell or display(text, raw=True, display_id=True)
        self._cell.update(text, raw=True)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        say(text, self._console)


def track(items: Iterable[Item], action: str, total: int | None = None) -> Iterator[Item]:
    """Iterate over items with a :class:`Progress`, which disappears if ``total`` is given."""
    length = len(items) if isinstance(items, Sized) else total or 0
    with Progress(action, length, transient=total is not None) as progress:
        for item in items:
            yield item
            progress.advance()


def say(text: str, console: Console | None = None) -> None:
    """Print a line verbatim, on standard error by default."""
    text = text.encode(errors='backslashreplace').decode()  # names of files need not be UTF-8
    # rich would read '[1]' as markup, colour numbers and break long lines.
    (console or Console(stderr=True)).print(text, highlight=False, markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Format seconds: ``'45 s'``, ``'3 min 20 s'``."""
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'
