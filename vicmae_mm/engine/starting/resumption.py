"""The settings of a run against those of the checkpoint that it resumes.

mmengine loads the saved state of optimizer and schedules over the settings of the config, which
then have no effect. Here they take effect, are refused or are named (see docs/checkpoints.md).
"""
import re
from typing import Any

from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

from vicmae_mm.checkpoints.saved_config import changed_settings, read_config_text
from vicmae_mm.engine.loops.resumable_train_loop import ResumableTrainLoop, epoch_batches
from vicmae_mm.utils.errors import InputError

from .saved_optimizer import adopt_optimizer, check_optimizer

# The settings that numbers in training depend on. Of the seed, mmengine keeps the saved one.
_CURVE = re.compile(
    r'(model|data_preprocessor|train_dataloader|train_cfg|optim_wrapper|param_scheduler|'
    r'auto_scale_lr|randomness|default_hooks|custom_hooks)\b(?!.*\binit_cfg\b)'
    r'(?!\.(num_workers|pin_memory|persistent_workers|prefetch_factor|timeout|seed|val_interval|'
    r'val_begin|dynamic_intervals|timer|logger|checkpoint|visualization|reconstruction|curves|'
    r'bad_videos|collapse|checkpoint_fit|pretrained_fit|class_count|runtime_info|finite_loss)\b)')
_OPTIMIZER = ('optim_wrapper', 'param_scheduler', 'auto_scale_lr')
_BATCH_SIZE = 'train_dataloader.batch_size'
_SHOWN = 12  # changed settings named in the warning


def adopt_settings(runner: Runner, checkpoint: dict, name: str) -> None:
    """Change a checkpoint, before it is loaded, so that the settings of the run take effect.

    What differs is named in one warning. Without differences the checkpoint stays as it is; else
    it is changed in place. ``name`` is what to call it in messages. A ValueError if it lacks a part
    of the state of a training, or has that of another optimizer or of averaged weights.
    """
    _check_complete(runner, checkpoint, name)
    saved, position = checkpoint['optimizer'], checkpoint['meta']['iter']
    before = read_config_text(checkpoint['meta'].get('cfg'))
    after = read_config_text(runner.cfg.pretty_text) if before else {}
    changes = {key: values for key, *values in changed_settings(before, after)
               if _CURVE.match(key)}
    batches = _adopt_batches(runner, checkpoint, _BATCH_SIZE in changes)
    if not batches and isinstance(runner.train_loop, EpochBasedTrainLoop):
        changes.pop(_BATCH_SIZE, None)  # each process has another share of the same batches
    parts = [f'{key}: {old!r} -> {new!r}' for key, (old, new) in changes.items()]
    parts[_SHOWN:] = [f'and {len(parts) - _SHOWN} more'] if len(parts) > _SHOWN else []
    if any(key.startswith('optim_wrapper.loss_scale') for key in changes):
        saved.pop('loss_scaler', None)  # or it would replace the new scale
    may_differ = (not before or any(key.startswith(_OPTIMIZER) for key in changes)
                  or checkpoint['meta']['iter'] != position
                  or bool((runner.auto_scale_lr or {}).get('enable')))  # by the processes
    if isinstance(runner.optim_wrapper, OptimWrapper) and 'param_groups' in saved:
        other, _ = changes.get('optim_wrapper.optimizer.type', (None, None))
        check_optimizer(runner.optim_wrapper.optimizer, saved, name, other)
        batches += adopt_optimizer(runner, checkpoint, may_differ)
    elif may_differ:
        batches.append('except in the several optimizers, which stay as saved')
    if parts or batches:
        runner.logger.warning(f'Settings have changed since {name} was written, and apply from '
                              f'here on: {"; ".join(parts + batches)}.')
    _check_rest(runner, checkpoint, name)


def _check_complete(runner: Runner, checkpoint: dict, name: str) -> None:
    meta = checkpoint.get('meta')
    missing = [part for part in ('message_hub', 'optimizer') if part not in checkpoint]
    if not isinstance(meta, dict) or not all(
            isinstance(meta.get(key), int) for key in ('epoch', 'iter')):
        missing.insert(0, 'meta (epoch and iteration)')
    advice = (f'To start a new training from its weights, leave out --resume and set '
              f'--cfg-options load_from={name}')
    if missing:
        raise InputError(f'{name} cannot be resumed, it lacks the state of a training: '
                         f'{", ".join(missing)}. {advice}')
    if 'ema_state_dict' in checkpoint and not any(
            isinstance(hook, EMAHook) for hook in runner.hooks):
        raise InputError(
            f'{name} was written with an EMAHook, so its weights are averages: resume with this '
            f'hook. {advice}')


def _adopt_batches(runner: Runner, checkpoint: dict, is_other_size: bool) -> list[str]:
    """Move the position to the start of its epoch if epochs have other batches than before."""
    meta, loop = checkpoint['meta'], runner.train_loop
    if not isinstance(loop, EpochBasedTrainLoop):
        return []
    now = epoch_batches(loop.dataloader)
    saved = checkpoint['message_hub'].get('runtime_info', {}).get(ResumableTrainLoop.STATE)
    start = meta['epoch'] * now['num_batches']
    if saved is not None:
        saved = {key: saved.get(key, now[key]) for key in now}
        is_same = saved == now
    else:  # by another loop, which does not say
        is_same = not is_other_size and 0 <= meta['iter'] - start <= now['num_batches']
    if is_same:
        return []
    was, is_now = (each and '{num_batches} of {global_batch} from {num_samples} samples'.format(
        **each) for each in (saved, now))
    meta['iter'] = start
    return [f'batches of an epoch: {was or "others"} -> {is_now} (the run continues at the start '
            f'of epoch {meta["epoch"] + 1}, as iteration {start + 1})']


def _check_rest(runner: Runner, checkpoint: dict, name: str) -> None:
    """Warn if nothing is left to train, or only with the last learning rate."""
    loop: Any = runner.train_loop
    unit, total = (('epoch', loop.max_epochs) if isinstance(loop, EpochBasedTrainLoop) else
                   ('iter', loop.max_iters))
    done = checkpoint['meta'][unit]
    schedules = checkpoint.get('param_schedulers') if runner.param_schedulers else None
    if done >= total:
        runner.logger.warning(
            f'{name} was written after {unit} {done} of {total}: nothing is left to train. To go '
            'on, ' + (f'use --epochs with more than {total}.' if unit == 'epoch' else
                      'raise train_cfg.max_iters, and with it the end of the schedules.'))
    elif isinstance(schedules, list) and schedules and all(
            state['_global_step'] >= state['end'] for state in schedules):
        rate = checkpoint['optimizer']['param_groups'][0]['lr']
        runner.logger.warning(
            f'The schedules had ended where {name} was written, so the learning rate stays at '
            f'{rate:.2g} up to {unit} {total}: extend param_scheduler (T_max, end).')
