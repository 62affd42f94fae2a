"""The quickstart's report."""
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from mmengine.runner import Runner

from vicmae_mm.models import ViCMAE
from vicmae_mm.utils.processes.pool import num_cores
from vicmae_mm.utils.progress import duration

from .measuring import LEVELS, Accuracy, ImageSet

FEATURES = dict(avg='patches', cls='class token')
PACKAGES = ('torch', 'mmengine', 'mmcv', 'mmpretrain', 'mmaction', 'av', 'sklearn', 'numpy')


@dataclass(frozen=True)
class Setting:
    """What was run."""

    num_clips: int
    num_epochs: int
    num_steps: int  # of the optimizer, in each pre-training
    batch_size: int  # pairs of frames per step
    mask_ratio: float  # share of patches hidden from ViC-MAE's encoder
    mae_mask_ratio: float  # from MAE's
    num_train: int  # images that train the probes
    num_test: int  # images of held-out digits
    seed: int

    @classmethod
    def of(cls, runner: Runner, mae: ViCMAE, train: ImageSet, test: ImageSet) -> 'Setting':
        """Read the setting from ViC-MAE's run, the MAE and the images."""
        loader = runner.train_dataloader
        return cls(
            num_clips=len(loader.dataset), num_epochs=runner.max_epochs,
            num_steps=runner.max_iters, batch_size=loader.batch_size,
            mask_ratio=runner.model.backbone.mask_ratio, mae_mask_ratio=mae.backbone.mask_ratio,
            num_train=len(train.labels), num_test=len(test.labels), seed=runner.seed)


def accuracy_table(accuracies: Mapping[str, Mapping[str, Accuracy]], chance: float) -> list[str]:
    """Lines of a Markdown table: one row per network, and one for the majority class."""
    columns = [f'{kind}, {FEATURES[level]}' for level in LEVELS
               for kind in ('linear probe', 'kNN')]
    rows = {name: [value for level in LEVELS
                   for value in (by_level[level].linear, by_level[level].knn)]
            for name, by_level in accuracies.items()}
    rows['majority class'] = [chance] * len(columns)
    return [
        f'| network | {" | ".join(columns)} |', '|---' * (1 + len(columns)) + '|',
        *(f'| {name} | {" | ".join(f"{value:.1%}" for value in values)} |'
          for name, values in rows.items())
    ]


def write_report(path: Path, table: list[str], setting: Setting,
                 seconds: Mapping[str, float]) -> None:
    """Write the report as Markdown, in the folder of the pictures that it shows.

    The table is that of :func:`accuracy_table`; ``seconds`` is the wall time of each step.
    """
    # A share p of n images has the standard error sqrt(p (1 - p) / n), largest at p = 0.5.
    error = 0.5 / setting.num_test**0.5
    path.write_text('\n'.join([
        '# ViC-MAE quickstart', '',
        'Share of images of handwritten digits classified correctly from frozen features. None of',
        f'the {setting.num_test} test digits was in any clip or trained any probe.', '', *table, '',
        f'A standard error is at most {error:.1%}. One run, seed {setting.seed}.', '',
        '## What was done', '',
        f'- {setting.num_clips} H.264 clips, each of one digit that moves, turns and scales while '
        'the photograph behind it moves independently.',
        f'- Pre-training without labels: {setting.num_epochs} epochs, {setting.num_steps} steps '
        f'of {setting.batch_size} pairs of frames.',
        '- MAE with equal budget: the same encoder and decoder, clips, frames, crops, number of '
        'steps and learning rate. It reconstructs both frames of a pair, but does not contrast '
        f'them, and it hides {setting.mae_mask_ratio:.0%} of the patches, where ViC-MAE '
        f'hides {setting.mask_ratio:.0%}.',
        '- Untrained: ViC-MAE with its initial weights. Majority class: always that answer.',
        '- Features, computed alike for all networks from the unmasked image: the mean of the last '
        'patch tokens, which the contrast compares, and the class token, which the paper probes.',
        '- Linear probe: logistic regression on standardised features. kNN: cosine-weighted vote.',
        f'- Only the probes see labels: those of {setting.num_train} images of training digits.',
        '', '## Pictures', '',
        'Held-out digits, reconstructed by ViC-MAE:', '', '![reconstruction](reconstruction.png)',
        '', 'Its pre-training:', '', '![curves](curves.png)', '',
        '## Time', '',
        '| step | time |', '|---|---|',
        *(f'| {name} | {duration(time)} |' for name, time in seconds.items()),
        f'| all | {duration(sum(seconds.values()))} |', '',
        f'{machine()}', '']))


def machine() -> str:
    """Processor, cores and versions."""
    versions = (f'{name} {import_module(name).__version__}' for name in PACKAGES)
    return (f'{platform.machine()}, {num_cores()} cores, {platform.system()}, '
            f'Python {platform.python_version()}, {", ".join(versions)}.')
