"""Optimizer and schedules in a checkpoint against those of the run that resumes it."""
import copy
import warnings
from typing import Any

from mmengine.hooks import ParamSchedulerHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from vicmae_mm.utils.errors import InputError

# Settings that newer versions of torch have added; it completes them for older files.
_ADDED = {'foreach', 'maximize', 'capturable', 'differentiable', 'fused',
          'decoupled_weight_decay', 'amsgrad', 'nesterov'}
_POSITION = {'last_step', '_global_step', '_last_value'}


def check_optimizer(optimizer: Any, saved: dict, name: str, other: Any = None) -> None:
    """Refuse the state of another optimizer, or of other parameter groups, in a checkpoint.

    ``other`` is the type of the optimizer in its config, if that is not the one of this run's.
    """
    kind = type(optimizer).__name__
    unknown = optimizer.defaults.keys() - _ADDED - saved['param_groups'][0].keys()
    if unknown or str(other or kind).rpartition('.')[2] != kind:
        raise InputError(
            f'{name} was trained with another optimizer than {kind} ('
            f'{other or "it has no " + ", ".join(sorted(unknown))}): resume with the optimizer '
            'that it was trained with, or start a new training from its weights: leave out '
            f'--resume and set --cfg-options load_from={name}')
    found, expected = ([len(group['params']) for group in groups]
                       for groups in (saved['param_groups'], optimizer.param_groups))
    if found != expected:
        raise InputError(
            f'{name} has {len(found)} parameter groups ({sum(found)} parameters) in its optimizer, '
            f'but optim_wrapper makes {len(expected)} ({sum(expected)}): resume with the '
            'optim_wrapper that it was trained with. If that had no constructor, add --cfg-options '
            'optim_wrapper.constructor=DefaultOptimWrapperConstructor')


def adopt_optimizer(runner: Runner, checkpoint: dict, may_differ: bool) -> list[str]:
    """Let the settings of optimizer and schedules take effect; say what has changed.

    Schedules are replayed up to the position of the checkpoint, so that learning rate and the
    like are those that this run would have there. The checkpoint is changed in place. Unless the
    settings ``may_differ``, only the schedules and the values they start from are compared:
    something else may set the rest during training.
    """
    schedulers: Any = runner.param_schedulers or []
    saved, wrapper = checkpoint['optimizer'], runner.optim_wrapper
    groups = [*zip(saved['param_groups'], wrapper.optimizer.param_groups, strict=True)]
    if saved.get('base_param_settings') and wrapper.base_param_settings:  # scheduled for the log
        groups.append((saved['base_param_settings'], wrapper.base_param_settings))
    if not may_differ and _settings(checkpoint.get('param_schedulers', [])) == _settings(
            _states(schedulers)) and all(old.get(key) == new[key] for old, new in groups
                                         for key in new if key.startswith('initial_')):
        return []
    kept, notes = {'params'}, []
    if any(getattr(scheduler, 'need_val_args', False) for scheduler in schedulers):
        notes = ['except the schedules, which follow metrics and stay as saved']
        kept |= {f'{part}{each.param_name}' for each in schedulers for part in ('', 'initial_')}
    elif schedulers:
        _replay(runner, checkpoint['meta'])
        checkpoint['param_schedulers'] = _states(schedulers)
    changes: dict[str, str] = {}
    for old, new in groups:
        for key in [key for key in new if key not in kept and old.get(key) != new[key]]:
            before, after = _show(old.get(key)), _show(new[key])
            if before != after:  # more than a difference in rounding
                changes.setdefault(key, f'{key}: {before} -> {after}')
            old[key] = new[key]
    return [text for key, text in changes.items() if not key.startswith('initial_')] + notes


def _show(value: Any) -> str:
    return f'{value:.6g}' if isinstance(value, float) else str(value)


def _settings(states: list[dict]) -> list[dict]:
    return [{key: value for key, value in state.items() if key not in _POSITION}
            for state in states]


def _states(schedulers: list) -> list[dict]:
    return [copy.deepcopy(scheduler.state_dict()) for scheduler in schedulers]


def _replay(runner: Runner, meta: dict) -> None:
    """Step the run's schedulers as training would have, up to the position of a checkpoint."""
    by_epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
    length = len(runner.train_loop.dataloader) if by_epochs else 0
    hook = ParamSchedulerHook()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that the optimizer made no steps
        for step in range(1, meta['iter'] + 1):
            hook.after_train_iter(runner, 0)
            if by_epochs and step % length == 0 and step // length <= meta['epoch']:
                hook.after_train_epoch(runner)
