"""What train.py says of a run: right before its first step, and when it ends."""
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from vicmae_mm.datasets.innermost import innermost_datasets
from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.engine.step_size import each_wrapper

_PLACES = 'source', 'ann_file', 'data_root', 'img_prefix'
_RESUME = r" --resume( ('[^']*'|[^\s-]\S*))?(?= |$)"
_LENGTH = r' (--epochs[ =]|train_cfg\.max_epochs=)\d+(?= |$)'


class RunReport(Hook):
    """Log what a training consists of before its first step, and what it leaves at its end.

    Args:
        notes: What the check of the config found in order, each ``'topic: words'``.
        warnings: What it found suspicious; said again right before the first step.
    """

    priority = 'LOWEST'

    def __init__(self, notes: Sequence[str] = (), warnings: Sequence[str] = ()) -> None:
        self._notes = dict(note.split(': ', 1) for note in notes)
        self._warnings = warnings
        self._first: int | None = None  # iterations done before

    def before_train(self, runner: Runner) -> None:
        """Say what is trained, on what, and where the results go."""
        self._first = runner.iter
        model = unwrapped_model(runner)
        sizes = [(each.numel() / 1e6, each.requires_grad) for each in model.parameters()]
        _log(runner, f'Training: {_done(runner)} done.', self._notes | dict(
            data=_data(runner.train_dataloader),
            validation=runner._val_loop and _data(runner.val_dataloader),
            model=f'{type(model).__name__}, {sum(size for size, _ in sizes):.1f} M parameters, '
                  f'{sum(size for size, is_trained in sizes if is_trained):.1f} M of them trained',
            lr=', '.join(_learning_rates(runner)), results=runner.work_dir))
        for line in self._warnings:
            runner.logger.warning(line)

    def after_train(self, runner: Runner) -> None:
        """Say what a finished run leaves."""
        when = 'was finished before' if self._first == runner.iter else 'is finished'
        self._end(runner, f'{runner.work_dir} {when}', 'to prolong', _has_epochs(runner) and
                  f'{re.sub(_LENGTH, "", _command())} --epochs {2 * runner.max_epochs}')

    def stopped(self, runner: Runner) -> None:
        """Say what an interrupted run leaves, if it has begun."""
        if self._first is not None:
            self._end(runner, 'Stopped', 'to continue', _command())

    def _end(self, runner: Runner, how: str, purpose: str, command: str | bool) -> None:
        hooks = (each for each in runner.hooks if isinstance(each, CheckpointHook))
        newest = getattr(next(hooks, None), 'last_ckpt', None) or (
            runner._resume and runner._load_from)
        use = (f'test.py {runner.cfg.filename} {newest}' if runner.cfg.get('test_dataloader') else
               f'extract_features.py {newest} FILES --out features.npz')
        pictures = (Path(runner.work_dir, 'curves.png'), Path(runner.log_dir, 'vis_data/vis_image'))
        _log(runner, f'{how}: {_done(runner)} done.', {
            'checkpoint': newest or 'none was written yet',
            'pictures': ', '.join(str(path) for path in pictures if path.exists()),
            purpose: command,
            'to use it': newest and f'python {os.path.join(os.path.dirname(sys.argv[0]), use)}'})


def _log(runner: Runner, first: str, rows: dict[str, Any]) -> None:
    lines = [f'  {name:11} {text}' for name, text in rows.items() if text]
    runner.logger.info('\n'.join([first, *lines, f'  log         {runner.logger.log_file}']))


def _has_epochs(runner: Runner) -> bool:
    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def _done(runner: Runner) -> str:
    epochs = f'{runner.epoch:,} of {runner.max_epochs:,} epochs, ' if _has_epochs(runner) else ''
    return f'{epochs}{runner.iter:,} of {runner.max_iters:,} steps'


def _data(loader: Any) -> str:
    places = [f'{len(each):,} of ' + next(
        filter(None, (getattr(each, name, '') for name in _PLACES)), type(each).__name__)
        for each in innermost_datasets(loader.dataset)]
    return f'{", ".join(places)}: {len(loader):,} batches of {loader.batch_size}'


def _learning_rates(runner: Runner) -> Iterator[str]:
    """``'AdamW at 0.0006', 'LinearLR to 40', 'CosineAnnealingLR to 800'``."""
    for optimizer in (wrapper.optimizer for wrapper in each_wrapper(runner.optim_wrapper)):
        rates = (group.get('initial_lr', group['lr']) for group in optimizer.param_groups)
        yield f'{type(optimizer).__name__} at {max(rates):.3g}'
    for each in runner.param_schedulers if isinstance(runner.param_schedulers, list) else ():
        length = len(runner.train_dataloader) if _has_epochs(runner) and not each.by_epoch else 1
        yield f'{type(each).__name__} to {each.end / length:,.4g}'


def _command() -> str:
    """The command that started this run, as typed, to resume it."""
    typed = os.environ.get('VICMAE_COMMAND') or f'python {shlex.join(sys.argv)}'
    return f'{re.sub(_RESUME, "", typed).strip()} --resume'
