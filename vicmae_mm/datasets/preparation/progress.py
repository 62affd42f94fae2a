"""Progress for people: a bar in a terminal, a line now and then in a log file."""
from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

LOG_INTERVAL = 30.  # seconds between lines where there is no terminal


class FileProgress:
    """Progress over files, on standard error.

    Args:
        total (int): How many files.
        action (str): What is done to them, such as 'Checking'.
    """

    def __init__(self, total: int, action: str) -> None:
        self.total, self.action = total, action
        self._done = self._bad = 0
        self._console = Console(stderr=True)
        self._said = time.monotonic()
        self._bar = Progress(
            TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
            TaskProgressColumn(show_speed=True), TimeRemainingColumn(),
            TextColumn('{task.fields[bad]:,} bad'), console=self._console,
            disable=not self._console.is_terminal)
        self._task = self._bar.add_task(action, total=total, bad=0)

    def __enter__(self) -> FileProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._bar.stop()

    def advance(self, is_bad: bool) -> None:
        """One more file is done."""
        self._done += 1
        self._bad += is_bad
        self._bar.update(self._task, advance=1, bad=self._bad)
        if self._console.is_terminal or time.monotonic() - self._said < LOG_INTERVAL:
            return
        self._said = time.monotonic()
        self.say(f'{self.action}: {self._done:,} of {self.total:,}, {self._bad:,} bad')

    def say(self, text: str) -> None:
        """Print a line, above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
