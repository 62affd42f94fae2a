"""Pre-training runs of the quickstart: mmengine's runner, with a short word to the terminal."""
import logging
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from vicmae_mm.models import ViCMAE
from vicmae_mm.utils.errors import RunError
from vicmae_mm.utils.processes.pool import num_cores

SHOWN = ('recon', 'contrast', 'pair_accuracy')  # of what the runner logs

OnProgress = Callable[[int, int, str], None]


class ProgressHook(Hook):
    """Report iterations done, of how many, and the last losses.

    Args:
        on_progress: Called after every iteration.
    """

    priority = 'LOW'  # after the losses of the iteration are written down

    def __init__(self, on_progress: OnProgress) -> None:
        self.on_progress = on_progress

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Report the iteration."""
        values = ((name, (outputs or {}).get(name)) for name in SHOWN)
        losses = [f'{name} {value.item():.3f}' for name, value in values if value is not None]
        note = '  '.join([f'epoch {runner.epoch + 1}/{runner.max_epochs}', *losses])
        self.on_progress(runner.iter + 1, runner.max_iters, note)


class InitialModelHook(Hook):
    """Keep a copy of the model as it is before the first step, in ``model``."""

    def before_train(self, runner: Runner) -> None:
        """Copy the model."""
        self.model = deepcopy(runner.model)


class QuietRunner(Runner):
    """A runner that logs to its files; the terminal hears of errors alone."""

    def build_logger(self, *args: object, **kwargs: object) -> MMLogger:
        """Build mmengine's logger and silence its handler for the terminal."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.ERROR)
        return logger


def build_runner(config: Path, clips: Path, work_dir: Path, seed: int,
                 options: dict | None = None) -> Runner:
    """Build the runner of a config for a folder of clips; same seed, same initial weights.

    Args:
        config: A file of ``configs/quickstart/``.
        clips: Folder of videos.
        work_dir: For logs and checkpoints.
        seed: Of weights, order, frames, crops and masks.
        options: Settings to replace in the config, as ``--cfg-options`` of ``tools/train.py``.
    """
    cfg = Config.fromfile(config)
    cfg.train_dataloader.dataset.data_prefix.video = str(clips)
    cfg.randomness.seed = seed
    cfg.work_dir = str(work_dir)
    cfg.merge_from_dict(options or {})
    # Threads that share a core wait for each other at every operation: with two threads and a
    # worker on two cores, a step takes longer than with one thread.
    torch.set_num_threads(max(1, num_cores() - cfg.train_dataloader.num_workers))
    return QuietRunner.from_cfg(cfg)


def pretrain(runner: Runner, on_progress: OnProgress) -> tuple[ViCMAE, ViCMAE]:
    """Train.

    Returns:
        The model as it was initialised and as it is trained.

    Raises:
        RuntimeError: If the weights are no longer finite.
    """
    start = InitialModelHook()
    runner.register_hook(start)
    runner.register_hook(ProgressHook(on_progress))
    model = runner.train()
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        raise RunError(f'Training in {runner.work_dir} diverged: its weights are not finite. '
                           'Lower optim_wrapper.optimizer.lr.')
    return start.model, model
