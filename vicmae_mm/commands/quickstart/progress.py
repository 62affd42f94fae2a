"""Progress of the quickstart in the terminal."""
import sys
import time
from collections.abc import Sequence
from typing import TextIO

WIDTH = 100  # columns of a line that is overwritten


class Progress:
    """Numbered steps, each with a line that tells how far it is.

    In a terminal the line is overwritten; in a file or pipe a new one is
    written every ``interval`` seconds.

    Args:
        steps: Titles of the steps.
        stream: Where to write; standard output if None.
        interval: Seconds between two lines where lines stay.
    """

    def __init__(self, steps: Sequence[str], stream: TextIO | None = None,
                 interval: float = 15) -> None:
        self.steps = steps
        self.stream = stream or sys.stdout
        self.interval = interval
        self._starts: list[float] = []

    def next_step(self) -> None:
        """End the step before, if any, and begin the next."""
        self._end_step()
        self._starts.append(time.monotonic())
        self._last_line = self._starts[-1]
        number = len(self._starts)
        self._write(f'[{number}/{len(self.steps)}] {self.steps[number - 1]}\n')

    def update(self, done: int, total: int, note: str = '') -> None:
        """Show that ``done`` of ``total`` parts of the step are done, and what is left to wait."""
        now = time.monotonic()
        overwrite = self.stream.isatty()
        if now - self._last_line < (0.2 if overwrite else self.interval) and done < total:
            return
        self._last_line = now
        left = (now - self._starts[-1]) / done * (total - done)
        line = f'      {done}/{total}  {duration(left)} left  {note}'
        self._write(f'\r{line[:WIDTH]:{WIDTH}}' if overwrite else f'{line.rstrip()}\n')
        if overwrite and done == total:
            self._write('\n')

    def say(self, text: str) -> None:
        """Write a line of the step."""
        self._write(f'      {text}\n')

    def finish(self) -> dict[str, float]:
        """End the last step and return the seconds that each has taken."""
        self._end_step()
        ends = [*self._starts[1:], time.monotonic()]
        return {step: end - start
                for step, start, end in zip(self.steps, self._starts, ends, strict=True)}

    def _end_step(self) -> None:
        if self._starts:
            self.say(f'took {duration(time.monotonic() - self._starts[-1])}')

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def duration(seconds: float) -> str:
    """Seconds as people say them: ``'45 s'``, ``'3 min 20 s'``."""
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'
