"""Pre-training runs of the quickstart: mmengine's runner with a progress bar."""
import logging
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner, find_latest_checkpoint

from vicmae_mm.commands import terminal
from vicmae_mm.commands.options import merge_settings
from vicmae_mm.commands.run_length import set_epochs
from vicmae_mm.models import ViCMAE
from vicmae_mm.utils.errors import InputError, RunError
from vicmae_mm.utils.processes.pool import num_cores
from vicmae_mm.utils.progress import Progress

SHOWN = ('recon', 'contrast', 'pair_accuracy')  # of what the runner logs


class ProgressHook(Hook):
    """Show the iterations done, the epoch and the last losses; keep ``initial``, a copy."""

    priority = 'LOW'  # after the iteration is logged

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def before_train(self, runner: Runner) -> None:
        """Copy the model, whose weights the runner has initialised only now."""
        self.initial: ViCMAE = deepcopy(runner.model)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Update the progress."""
        values = ((name, (outputs or {}).get(name)) for name in SHOWN)
        losses = [f'{name} {value.item():.3f}' for name, value in values if value is not None]
        note = '  '.join([f'epoch {runner.epoch + 1}/{runner.max_epochs}', *losses])
        self.progress.update(runner.iter + 1, note)


def build_runner(recipe: Path, work_dir: Path, num_pairs: int, seed: int,
                 options: dict | None = None) -> Runner:
    """Build the runner of a recipe, a config, for the ``clips`` and ``stills`` of a work dir.

    It trains in a folder of the work dir, named after the recipe, on ``num_pairs`` pairs an epoch.
    ``seed`` is that of initial weights, order, frames, crops and masks; ``options`` are settings to
    replace in the config, as ``--cfg-options`` of ``tools/train.py``.
    """
    cfg = Config.fromfile(recipe)
    dataset = cfg.train_dataloader.dataset
    for each in dataset.get('datasets', {'': dataset}).values():
        each.data_root = str(work_dir)
    if 'datasets' in dataset:
        dataset.epoch_length = num_pairs  # not one of each image and clip
    cfg.randomness.seed = seed
    cfg.work_dir = str(work_dir / recipe.stem)
    if 'start' in cfg:
        cfg.load_from = find_latest_checkpoint(str(work_dir / cfg.start))
    merge_settings(cfg, options)
    set_epochs(cfg)
    if num_pairs < cfg.train_dataloader.batch_size:
        raise InputError(f'{num_pairs} clips do not fill a batch '
                         f'({cfg.train_dataloader.batch_size}): raise --clips, or lower '
                         'train_dataloader.batch_size by --cfg-options.')
    # Threads that share a core wait for each other at every operation: on two cores, a step
    # takes longer with two threads and a worker than with one thread and a worker.
    torch.set_num_threads(max(1, num_cores() - cfg.train_dataloader.num_workers))
    return terminal.build_tool_runner(cfg, logging.ERROR)


@dataclass(frozen=True)
class Trained:
    """What a recipe has made."""

    title: str
    about: str
    work_dir: Path
    initial: ViCMAE  # before the first step
    model: ViCMAE


def train_recipe(runner: Runner) -> Trained:
    """Train and return the initial and the trained model.

    Raises:
        RuntimeError: If the weights are no longer finite.
    """
    with Progress('Training', runner.max_iters) as progress:
        hook = ProgressHook(progress)
        runner.register_hook(hook)
        model = runner.train()
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        raise RunError(f'Training in {runner.work_dir} diverged: its weights are not finite. '
                       'Lower optim_wrapper.optimizer.lr.')
    about = (f'{runner.cfg.about} {runner.max_epochs} epochs, {runner.max_iters} steps of '
             f'{runner.train_dataloader.batch_size} pairs. It hides '
             f'{model.backbone.mask_ratio:.0%} of the patches.')
    return Trained(runner.cfg.title, about, Path(runner.work_dir), hook.initial, model)
