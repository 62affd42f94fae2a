"""What train.py says of a run: right before its first step, and when it ends."""
import os
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from vicmae_mm.datasets.innermost import innermost_datasets
from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.engine.step_size import each_wrapper

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
        self._notes, self._warnings = dict(note.split(': ', 1) for note in notes), warnings
        self._first: int | None = None  # iterations done before

    def before_train(self, runner: Runner) -> None:
        """Say what is trained, on what, and where the results go."""
        self._first = runner.iter
        model = unwrapped_model(runner)
        trained, constant = (sum(each.numel() for each in model.parameters() if each.requires_grad
                                 is is_trained) / 1e6 for is_trained in (True, False))
        schedules = runner.param_schedulers if isinstance(runner.param_schedulers, list) else []
        rates = [max(group.get('initial_lr', group['lr']) for group in wrapper.param_groups)
                 for wrapper in each_wrapper(runner.optim_wrapper)]
        _log(runner, 'Training', self._notes | dict(
            data=_data(runner.train_dataloader),
            validation=runner._val_loop and _data(runner.val_dataloader),
            model=f'{type(model).__name__}, {trained + constant:.1f} M parameters, {trained:.1f} M '
                  'of them trained', results=runner.work_dir,
            lr=', '.join([*(f'{rate:.3g} at most' for rate in rates), *(
                f'{type(each).__name__} to {"epoch" if each.by_epoch else "step"} {each.end:,}'
                for each in schedules)])))
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
        pictures = (f'{runner.work_dir}/curves.png', f'{runner.log_dir}/vis_data/vis_image')
        _log(runner, how, {
            'checkpoint': newest or 'none was written yet',
            'pictures': ', '.join(filter(os.path.exists, pictures)), purpose: command,
            'to use it': newest and f'python {os.path.join(os.path.dirname(sys.argv[0]), use)}'})


def _log(runner: Runner, first: str, rows: dict[str, Any]) -> None:
    epochs = f'{runner.epoch:,} of {runner.max_epochs:,} epochs, ' if _has_epochs(runner) else ''
    lines = [f'{first}: {epochs}{runner.iter:,} of {runner.max_iters:,} steps done.', *(
        f'  {name:11} {text}' for name, text in {**rows, 'log': runner.logger.log_file}.items()
        if text)]
    runner.logger.info('\n'.join(lines))


def _has_epochs(runner: Runner) -> bool:
    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def _data(loader: Any) -> str:
    """Sizes and places of its datasets, and its batches."""
    places = [f'{len(each):,} of ' + str(next(filter(None, (getattr(each, name, None) for name in (
        'source', 'ann_file', 'data_root', 'img_prefix'))), type(each).__name__))
        for each in innermost_datasets(loader.dataset)]
    return f'{", ".join(places)}: {len(loader):,} batches of {loader.batch_size}'


def _command() -> str:
    """The command that started this run, as typed, to resume it."""
    typed = os.environ.get('VICMAE_COMMAND') or f'python {shlex.join(sys.argv)}'
    return f'{re.sub(_RESUME, "", typed).strip()} --resume'
