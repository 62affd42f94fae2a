"""The quickstart's numbered steps."""
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vicmae_mm.utils.progress import duration, say


class Steps:
    """Announces steps and measures their wall time: ``seconds``, by title."""

    def __init__(self, titles: Sequence[str]) -> None:
        self.titles = titles
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self) -> Iterator[None]:
        """Print the number and title of the next step, then how long it took."""
        title = self.titles[len(self.seconds)]
        say(f'[{len(self.seconds) + 1}/{len(self.titles)}] {title}')
        start = time.monotonic()
        yield
        self.seconds[title] = time.monotonic() - start
        say(f'      took {duration(self.seconds[title])}')
