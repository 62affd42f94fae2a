"""Pre-training runs of the quickstart: mmengine's runner with a progress bar."""
import logging
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vicmae_mm.commands import terminal
from vicmae_mm.commands.options import merge_settings
from vicmae_mm.commands.run_length import set_epochs
from vicmae_mm.models import ViCMAE
from vicmae_mm.utils.errors import InputError, RunError
from vicmae_mm.utils.processes.pool import num_cores
from vicmae_mm.utils.progress import Progress

SHOWN = ('recon', 'contrast', 'pair_accuracy')  # of what the runner logs


class ProgressHook(Hook):
    """Show the iterations done, the epoch and the last losses."""

    priority = 'LOW'  # after the iteration is logged

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Update the progress."""
        values = ((name, (outputs or {}).get(name)) for name in SHOWN)
        losses = [f'{name} {value.item():.3f}' for name, value in values if value is not None]
        note = '  '.join([f'epoch {runner.epoch + 1}/{runner.max_epochs}', *losses])
        self.progress.update(runner.iter + 1, note)


class InitialModelHook(Hook):
    """Keep a copy of the model as it is before the first step, in ``model``."""

    def before_train(self, runner: Runner) -> None:
        """Copy the model."""
        # Not earlier: the runner initialises the weights after it is built.
        self.model = deepcopy(runner.model)


def build_runner(config: Path, clips: Path, work_dir: Path, seed: int,
                 options: dict | None = None) -> Runner:
    """Build the runner of a config for a folder of clips.

    ``seed`` is that of initial weights, order, frames, crops and masks; ``options`` are settings to
    replace in the config, as ``--cfg-options`` of ``tools/train.py``.
    """
    cfg = Config.fromfile(config)
    cfg.train_dataloader.dataset.data_prefix.video = str(clips)
    cfg.randomness.seed = seed
    cfg.work_dir = str(work_dir)
    merge_settings(cfg, options)
    set_epochs(cfg)
    if (count := len(list(clips.glob('*.mp4')))) < cfg.train_dataloader.batch_size:
        raise InputError(f'{count} clips do not fill a batch ({cfg.train_dataloader.batch_size}): '
                         'raise --clips, or lower train_dataloader.batch_size by --cfg-options.')
    # Threads that share a core wait for each other at every operation: on two cores, a step
    # takes longer with two threads and a worker than with one thread and a worker.
    torch.set_num_threads(max(1, num_cores() - cfg.train_dataloader.num_workers))
    return terminal.build_tool_runner(cfg, logging.ERROR)


def pretrain(runner: Runner) -> tuple[ViCMAE, ViCMAE]:
    """Train and return the initial and the trained model.

    Raises:
        RuntimeError: If the weights are no longer finite.
    """
    start = InitialModelHook()
    runner.register_hook(start)
    with Progress('Training', runner.max_iters) as progress:
        runner.register_hook(ProgressHook(progress))
        model = runner.train()
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        raise RunError(f'Training in {runner.work_dir} diverged: its weights are not finite. '
                       'Lower optim_wrapper.optimizer.lr.')
    return start.model, model
