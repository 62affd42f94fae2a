"""The quickstart's steps and its report."""
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from vicmae_mm.commands.result_files import markdown_table
from vicmae_mm.utils.processes.pool import num_cores
from vicmae_mm.utils.progress import duration, say

from .measuring import LEVELS, Accuracy
from .pretraining import Trained

FEATURES = dict(avg='patches', cls='class token')
PACKAGES = ('torch', 'mmengine', 'mmcv', 'mmpretrain', 'mmaction', 'av', 'sklearn', 'numpy')


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


def accuracy_table(accuracies: Mapping[str, Mapping[str, Accuracy]], chance: float) -> list[str]:
    """Lines of a Markdown table: one row per network, and one for the majority class."""
    columns = [f'{kind}, {FEATURES[level]}' for level in LEVELS
               for kind in ('linear probe', 'kNN')]
    rows = {name: [value for level in LEVELS
                   for value in (by_level[level].linear, by_level[level].knn)]
            for name, by_level in accuracies.items()}
    rows['majority class'] = [chance] * len(columns)
    return markdown_table(['network', *columns], [
        [name, *(f'{value:.1%}' for value in values)] for name, values in rows.items()])


def write_report(path: Path, table: list[str], trained: Sequence[Trained],
                 seconds: Mapping[str, float], seed: int, rendered: Mapping[str, int],
                 num_train: int, num_test: int) -> None:
    """Write the report as Markdown, in the folder of the pictures of the first network.

    The table is that of :func:`accuracy_table`; ``seconds`` is the wall time of each step;
    ``rendered`` has the number of ``clips`` and ``stills``. ``num_train`` images train the probes,
    ``num_test`` are of held-out digits.
    """
    # A share p of n images has the standard error sqrt(p (1 - p) / n), largest at p = 0.5.
    error = 0.5 / num_test**0.5
    versions = (f'{name} {import_module(name).__version__}' for name in PACKAGES)
    path.write_text('\n'.join([
        '# ViC-MAE quickstart', '',
        'Share of images of handwritten digits classified correctly from frozen features. None of',
        f'the {num_test} test digits was in any clip or trained any probe.', '', *table, '',
        f'A standard error is at most {error:.1%}. One run, seed {seed}.', '',
        '## What was done', '',
        f'- {rendered["clips"]} H.264 clips, each of one digit that moves, turns and scales while '
        'the photograph behind it moves independently.',
        f'- {rendered["stills"]} images, each of one digit in another pose.',
        '- Pre-training without labels:',
        *(f'  - {each.title}: {each.about}' for each in trained),
        f'- Untrained: {trained[0].title} with its initial weights. Majority class: always that '
        'answer.',
        '- Features, computed alike for all networks from the unmasked image: the mean of the last '
        'patch tokens, which the contrast compares, and the class token, which the paper probes.',
        '- Linear probe: logistic regression on standardised features. kNN: cosine-weighted vote.',
        f'- Only the probes see labels: those of {num_train} images of training digits.',
        '', '## Pictures', '',
        f'Held-out digits, reconstructed by {trained[0].title}:', '',
        '![reconstruction](reconstruction.png)',
        '', 'Its pre-training, with probes on some of these digits every few epochs:', '',
        '![curves](curves.png)', '',
        '## Time', '',
        *markdown_table(['step', 'time'], [
            *([name, duration(time)] for name, time in seconds.items()),
            ['all', duration(sum(seconds.values()))]]), '',
        f'{platform.machine()}, {num_cores()} cores, {platform.system()}, Python '
        f'{platform.python_version()}, {", ".join(versions)}.', '']))
