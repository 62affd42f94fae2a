"""What train.py says of a run: right before its first step, and when it ends."""
import os
import re
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from vicmae_mm.datasets.innermost import innermost_datasets
from vicmae_mm.engine.hooks import BadVideoHook, SafeCheckpointHook
from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.engine.step_size import each_wrapper, step_size
from vicmae_mm.utils.errors import InputError

# Names of scalars, of which it is known which values are good
_BEST = {min: SafeCheckpointHook._default_less_keys, max: SafeCheckpointHook._default_greater_keys}


class RunReport(Hook):
    """Log what a training consists of before its first step, and what it leaves at its end.

    Args:
        notes: What the check of the config found in order, each ``'topic: words'``.
        warnings: What it found suspicious; said again right before the first step.
        devices: The option of this name; VICMAE_COMMAND names the command if it was another.
    """

    priority = 'LOWEST'

    def __init__(self, notes: Sequence[str] = (), warnings: Sequence[str] = (),
                 devices: int | None = None) -> None:
        self._notes, self._warnings = dict(note.split(': ', 1) for note in notes), warnings
        self._devices = f' --devices {devices}' if devices else ''
        self._first: int | None = None  # iterations done before

    def before_train(self, runner: Runner) -> None:
        """Say what is trained, on what, and where the results go."""
        self._first, self._epochs, self._began = runner.iter, runner.epoch, time.monotonic()
        model = unwrapped_model(runner)
        count, trained = (sum(each.numel() for each in model.parameters() if each.requires_grad
                              or not only) / 1e6 for only in (False, True))
        rates = [max(group.get('initial_lr', group['lr']) for group in wrapper.param_groups)
                 for wrapper in each_wrapper(runner.optim_wrapper)]
        schedules = runner.param_schedulers if isinstance(runner.param_schedulers, list) else []
        words = [f'{type(each).__name__} to {"epoch" if each.by_epoch else "step"} {each.end:,}'
                 for each in schedules]
        _log(runner, 'Training', self._notes | dict(
            data=_data(runner.train_dataloader), results=runner.work_dir,
            validation=runner._val_loop and _data(runner.val_dataloader),
            model=f'{type(model).__name__}, {count:.1f} M parameters, {trained:.1f} M trained',
            lr=', '.join([*(f'{rate:.3g} at most' for rate in rates), *words])))
        for line in self._warnings:
            runner.logger.warning(line)

    def after_train(self, runner: Runner) -> None:
        """Say what a finished run leaves."""
        when = 'is already finished' if self._first == runner.iter else 'is finished'
        more = f' --epochs {2 * runner.epoch}' if _has_epochs(runner) else ''
        self._end(runner, f'{runner.work_dir} {when}', 'to prolong', more)

    def stopped(self, runner: Runner) -> None:
        """Say what an interrupted run leaves, if it has begun."""
        if self._first is not None:
            self._end(runner, 'Stopped', 'to continue', '')

    def _end(self, runner: Runner, how: str, purpose: str, more: str) -> None:
        hooks = (each for each in runner.hooks if isinstance(each, CheckpointHook))
        newest = getattr(next(hooks, None), 'last_ckpt', None) or (
            runner._resume and runner._load_from)
        pictures = (f'{runner.work_dir}/curves.png', f'{runner.log_dir}/vis_data/vis_image')
        # It has the settings of the command line, too.
        config = os.path.join(runner.work_dir, os.path.basename(runner.cfg.filename))
        train = os.environ.get('VICMAE_COMMAND', f'vicmae train CONFIG{self._devices}').strip()
        train = train.replace('CONFIG', shlex.quote(config))
        use = ('test', config, str(newest)) if runner.cfg.get('test_dataloader') else (
            'features', str(newest), 'FILES', '--out', 'features.npz')
        # Without one of its own, it would resume that of an earlier run in this work dir.
        purpose, more = (purpose, f' --resume{more}') if newest else ('to restart', '')
        scalars = {name.removeprefix('logged/'): scalar._log_history
                   for name, scalar in runner.message_hub.log_scalars.items()
                   if re.match('logged/|val/(?!.*time$)', name)}
        _log(runner, how, {
            'logged': scalars and f'{"best":>8}{"last":>10}',
            **{name: f'{_best(name, scalar):>8}{scalar[-1]:10.4g}'
               for name, scalar in scalars.items()},
            'time': f'{timedelta(seconds=round(time.monotonic() - self._began))}'
                    + f' since step {self._first:,}' * bool(self._first)
                    + self._speed(runner) * (runner.iter > self._first),
            'bad files': ', '.join(f'{bad:,} of {total:,}' for bad, total in (each.count(
                runner) for each in runner.hooks if isinstance(each, BadVideoHook)) if total),
            'checkpoint': newest or 'none was written yet',
            'pictures': ', '.join(filter(os.path.exists, pictures)),
            purpose: f'{train} --work-dir {shlex.quote(runner.work_dir)}{more}',
            'to use it': newest and shlex.join(('vicmae', *use))})

    def _speed(self, runner: Runner) -> str:
        """Of the samples of all processes, in the steps of this session."""
        steps, loader = runner.iter - self._first, runner.train_dataloader
        with suppress(InputError, KeyError):  # batches of various sizes, no timer
            spent, waited = (runner.message_hub.log_scalars[name]._log_history[-steps:].sum()
                             for name in ('train/time', 'train/data_time'))
            size = step_size(runner, runner.optim_wrapper)
            # The last batch of an epoch may be smaller.
            lacks = 0 if loader.drop_last else len(loader) * size.batch - len(loader.sampler)
            number = steps * size.batch - lacks * (runner.epoch - self._epochs)
            return (f', {number * size.pairs * size.processes / spent:,.1f} {size.noun}/s in steps'
                    f', {waited / spent:.0%} of which is waiting for data')
        return ''


def _best(name: str, values: Any) -> str:
    known = [best for best, names in _BEST.items() if any(each in name for each in names)]
    return f'{known[0](values):.4g}' if known else ''


def _log(runner: Runner, first: str, rows: dict[str, Any]) -> None:
    epochs = f'{runner.epoch:,} of {runner.max_epochs:,} epochs, ' if _has_epochs(runner) else ''
    rows = {**rows, 'log': runner.logger.log_file}
    lines = [f'{first}: {epochs}{runner.iter:,} of {runner.max_iters:,} steps done.', *(
        f'  {name:{max(11, *map(len, rows))}} {text}' for name, text in rows.items() if text)]
    runner.logger.info('\n'.join(lines))


def _has_epochs(runner: Runner) -> bool:
    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def _data(loader: Any) -> str:
    """Sizes and places of its datasets, and its batches."""
    places = [f'{len(each):,} of ' + str(next(filter(None, (getattr(each, name, None) for name in (
        'source', 'ann_file', 'data_root', 'img_prefix'))), type(each).__name__))
        for each in innermost_datasets(loader.dataset)]
    return f'{", ".join(places)}: {len(loader):,} batches of {loader.batch_size}'
