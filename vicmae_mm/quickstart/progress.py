"""Progress of the quickstart in the terminal."""
import sys
import time
from typing import TextIO

WIDTH = 100  # columns of a line that is overwritten


class Progress:
    """Numbered steps, each with a line that tells how far it is.

    In a terminal the line is overwritten; in a file or pipe a new one is
    written every ``interval`` seconds.

    Args:
        num_steps: Steps of the whole run.
        stream: Where to write; standard output if None.
        interval: Seconds between two lines where lines stay.
    """

    def __init__(self, num_steps: int, stream: TextIO | None = None, interval: float = 15) -> None:
        self.num_steps = num_steps
        self.stream = stream or sys.stdout
        self.interval = interval
        self.seconds: dict[str, float] = {}
        self._start = time.monotonic()
        self._title: str | None = None

    def step(self, title: str) -> None:
        """End the step before, if any, and begin the next."""
        self._end_step()
        self._title = title
        self._step_start = self._last_line = time.monotonic()
        self._write(f'[{len(self.seconds) + 1}/{self.num_steps}] {title}\n')

    def update(self, done: int, total: int, note: str = '') -> None:
        """Show that ``done`` of ``total`` parts of the step are done, and what is left to wait."""
        now = time.monotonic()
        overwrite = self.stream.isatty()
        if now - self._last_line < (0.2 if overwrite else self.interval) and done < total:
            return
        self._last_line = now
        left = (now - self._step_start) / done * (total - done)
        line = f'      {done}/{total}  {duration(left)} left  {note}'
        self._write(f'\r{line[:WIDTH]:{WIDTH}}' if overwrite else f'{line.rstrip()}\n')
        if overwrite and done == total:
            self._write('\n')

    def say(self, text: str) -> None:
        """Write a line of the step."""
        self._write(f'      {text}\n')

    def finish(self) -> None:
        """End the last step and tell the time of all."""
        self._end_step()
        self._write(f'Done in {duration(time.monotonic() - self._start)}.\n')

    def _end_step(self) -> None:
        if self._title is not None:
            self.seconds[self._title] = time.monotonic() - self._step_start
            self.say(f'took {duration(self.seconds[self._title])}')

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def duration(seconds: float) -> str:
    """Seconds as people say them: ``'45 s'``, ``'3 min 20 s'``."""
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'
