"""The settings of a run against those of the checkpoint that it resumes.

mmengine loads the saved state of optimizer and schedules over the settings of the config, which
then have no effect. Here they take effect, are refused or are named; docs/checkpoints.md has the
table.
"""
from typing import Any

from mmengine.hooks import EMAHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from vicmae_mm.checkpoints.saved_config import changed_settings, read_config_text
from vicmae_mm.utils.errors import InputError

from .loops.resumable_train_loop import ResumableTrainLoop, epoch_batches
from .saved_optimizer import adopt_optimizer, check_optimizer

_SETTINGS = ('model', 'data_preprocessor', 'train_dataloader', 'train_cfg', 'optim_wrapper',
             'param_scheduler', 'auto_scale_lr', 'randomness', 'default_hooks', 'custom_hooks')
# Parts that no number in training depends on. Of the seed, mmengine keeps the saved one, and warns.
_WITHOUT_EFFECT = {
    'train_dataloader': ('num_workers', 'pin_memory', 'persistent_workers', 'prefetch_factor',
                         'timeout'),
    'train_cfg': ('val_interval', 'val_begin', 'dynamic_intervals'),
    'randomness': ('seed', ),
    'default_hooks': ('timer', 'logger', 'checkpoint', 'visualization', 'reconstruction', 'curves',
                      'bad_videos', 'collapse', 'checkpoint_fit', 'pretrained_fit', 'class_count',
                      'runtime_info', 'finite_loss'),
}
_SHOWN = 12  # changed settings named in the warning
_BATCH_SIZE = 'train_dataloader.batch_size'
_OPTIMIZER = ('optim_wrapper', 'param_scheduler', 'auto_scale_lr')


def adopt_settings(runner: Runner, checkpoint: dict, name: str) -> None:
    """Change a checkpoint, before it is loaded, so that the settings of the run take effect.

    What differs is named in one warning. Without differences the checkpoint stays as it is.

    Args:
        runner: Before it loads the checkpoint.
        checkpoint: As it was read from the file; changed in place.
        name: What to call it in messages.

    Raises:
        ValueError: It lacks a part of the state of a training, or has that of another optimizer
            or of averaged weights.
    """
    _check_complete(runner, checkpoint, name)
    before = _curve_settings(checkpoint['meta'].get('cfg'))
    changes = list(changed_settings(before, _curve_settings(runner.cfg.pretty_text))
                   if before else ())
    other = next((old for key, old, _ in changes if key == 'optim_wrapper.optimizer.type'), None)
    check_optimizer(runner, checkpoint['optimizer'], name, other)
    position = checkpoint['meta']['iter']
    batches = _adopt_batches(runner, checkpoint, _BATCH_SIZE in [key for key, _, _ in changes])
    if not batches and isinstance(runner.train_loop, EpochBasedTrainLoop):
        # Each process has another share of the same batches.
        changes = [change for change in changes if change[0] != _BATCH_SIZE]
    keys = [key for key, _, _ in changes]
    parts = [f'{key}: {old!r} -> {new!r}' for key, old, new in changes[:_SHOWN]]
    if len(changes) > _SHOWN:
        parts.append(f'and {len(changes) - _SHOWN} more')
    parts += batches
    if any(key.startswith('optim_wrapper.loss_scale') for key in keys):
        checkpoint['optimizer'].pop('loss_scaler', None)  # or it would replace the new scale
    is_known = bool(before) and not any(key.startswith(_OPTIMIZER) for key in keys) and not (
        runner.auto_scale_lr or {}).get('enable')
    is_moved = checkpoint['meta']['iter'] != position
    parts += adopt_optimizer(runner, checkpoint, is_known, is_moved)
    if parts:
        runner.logger.warning(f'Settings have changed since {name} was written, and apply from '
                              f'here on: {"; ".join(parts)}.')
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


def _curve_settings(text: Any) -> dict[str, Any]:
    """The settings of a config text that training depends on."""
    config = read_config_text(text)
    kept = {key: config[key] for key in _SETTINGS if key in config}
    for key, names in _WITHOUT_EFFECT.items():
        if isinstance(kept.get(key), dict):
            kept[key] = {name: value for name, value in kept[key].items() if name not in names}
    return _without_init_cfg(kept)


def _without_init_cfg(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_init_cfg(item) for key, item in node.items() if key != 'init_cfg'}
    return [_without_init_cfg(item) for item in node] if isinstance(node, list) else node


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
    was = '' if saved is None else _describe_batches(saved) + ' -> '
    moved = '' if meta['iter'] == start else f', which counts as iteration {start} now'
    meta['iter'] = start
    return [f'batches of an epoch: {was}{_describe_batches(now)} (the run continues at the start '
            f'of epoch {meta["epoch"] + 1}{moved})']


def _describe_batches(batches: dict[str, Any]) -> str:
    return '{num_batches} of {global_batch} from {num_samples} samples'.format(**batches)


def _check_rest(runner: Runner, checkpoint: dict, name: str) -> None:
    """Warn if nothing is left to train, or only with the last learning rate."""
    loop: Any = runner.train_loop
    unit, total = (('epoch', loop.max_epochs) if isinstance(loop, EpochBasedTrainLoop) else
                   ('iter', loop.max_iters))
    done = checkpoint['meta'][unit]
    if done >= total:
        runner.logger.warning(
            f'{name} was written after {unit} {done} of {total}: nothing is left to train. To go '
            f'on, raise train_cfg.max_{unit}s, and with it the end of the schedules.')
        return
    schedules = checkpoint.get('param_schedulers') if runner.param_schedulers else None
    if isinstance(schedules, list) and schedules and all(
            state['_global_step'] >= state['end'] for state in schedules):
        rate = checkpoint['optimizer']['param_groups'][0]['lr']
        runner.logger.warning(
            f'The schedules had ended where {name} was written, so the learning rate stays at '
            f'{rate:.2g} up to {unit} {total}: extend param_scheduler (T_max, end).')
