"""Optimizer and schedules in a checkpoint against those of the run that resumes it."""
import copy
import warnings
from collections.abc import Iterator
from typing import Any

from mmengine.hooks import ParamSchedulerHook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner

from vicmae_mm.utils.errors import InputError

# Settings that newer versions of torch have added; it completes them for older files.
_ADDED = {'foreach', 'maximize', 'capturable', 'differentiable', 'fused',
          'decoupled_weight_decay', 'amsgrad', 'nesterov'}
_POSITION = {'last_step', '_global_step', '_last_value'}


def check_optimizer(runner: Runner, saved: dict, name: str, other: Any = None) -> None:
    """Refuse the state of another optimizer, or of other parameter groups.

    Args:
        runner: With the optimizer that is to be resumed.
        saved: The checkpoint's ``optimizer``.
        name: What to call the checkpoint.
        other: Type of the optimizer in its config, if that is not the one of this run's.
    """
    for state, wrapper in _optimizers(runner, saved):
        found, expected = ([len(group['params']) for group in groups]
                           for groups in (state['param_groups'], wrapper.optimizer.param_groups))
        kind = type(wrapper.optimizer).__name__
        was = str(other or kind)
        unknown = {key for group in wrapper.optimizer.param_groups for key in group
                   if not key.startswith('initial_')} - _ADDED - set(state['param_groups'][0])
        if unknown or was.rpartition('.')[2] != kind:
            raise InputError(
                f'{name} was trained with another optimizer than {kind} ('
                f'{other or "it has no " + ", ".join(sorted(unknown))}): resume with the optimizer '
                'that it was trained with, or start a new training from its weights: leave out '
                f'--resume and set --cfg-options load_from={name}')
        if found != expected:
            raise InputError(
                f'{name} has {len(found)} parameter groups ({sum(found)} parameters) in its '
                f'optimizer, but optim_wrapper makes {len(expected)} ({sum(expected)}): resume '
                'with the optim_wrapper that it was trained with. If that had no constructor, add '
                '--cfg-options optim_wrapper.constructor=DefaultOptimWrapperConstructor')


def adopt_optimizer(runner: Runner, checkpoint: dict, is_known: bool,
                    is_moved: bool) -> list[str]:
    """Let the settings of optimizer and schedules take effect; say what has changed.

    Changed schedules are replayed up to the position of the checkpoint: the learning rate becomes
    the one that they give there.

    Args:
        runner: With the optimizer and schedules of its config, at their first step.
        checkpoint: Changed in place.
        is_known: Whether the settings of the optimizer are known not to have changed. Then only
            what is scheduled is compared: something else may set the rest during training.
        is_moved: Whether the position of the checkpoint has been changed.
    """
    schedulers = runner.param_schedulers or []
    lists = list(schedulers.values()) if isinstance(schedulers, dict) else [schedulers]
    scheduled = {scheduler.param_name for each in lists for scheduler in each}
    groups = list(_groups(runner, checkpoint['optimizer']))
    changes: dict[str, str] = {}
    for old, new in groups:
        for key, value in new.items():
            if key in scheduled or key not in old or key == 'params' or is_known or (
                    key.startswith('initial_')) or old[key] == value:
                continue
            changes.setdefault(key, f'{key} of the optimizer: {old[key]} -> {value}')
            old[key] = value
    if scheduled and (is_moved or _differ(lists, checkpoint, groups, scheduled)):
        if any(getattr(scheduler, 'need_val_args', False) for each in lists for scheduler in each):
            return [*changes.values(), 'but the schedules follow metrics and stay as saved']
        _replay(runner, checkpoint['meta'])
        for key in scheduled:
            was, now = (f'{group[key]:g}' for group in groups[0])
            if was != now:
                changes[key] = f'{key} by the schedules: {was} -> {now}'
            for old, new in groups:
                old.update({each: new[each] for each in (key, f'initial_{key}')})
        checkpoint['param_schedulers'] = _states(schedulers)
    return list(changes.values())


def _optimizers(runner: Runner, saved: dict) -> Iterator[tuple[dict, Any]]:
    """Saved state and wrapper of each optimizer that torch has made."""
    wrapper: Any = runner.optim_wrapper
    pairs = ([(saved.get(name, {}), each) for name, each in wrapper.items()]
             if isinstance(wrapper, OptimWrapperDict) else [(saved, wrapper)])
    return (pair for pair in pairs if pair[0].get('param_groups') and hasattr(pair[1], 'optimizer'))


def _groups(runner: Runner, saved: dict) -> Iterator[tuple[dict, dict]]:
    """Saved and new parameter groups, pairwise; mmengine schedules one more, for its log."""
    for state, wrapper in _optimizers(runner, saved):
        yield from zip(state['param_groups'], wrapper.optimizer.param_groups, strict=True)
        base, new = state.get('base_param_settings'), getattr(wrapper, 'base_param_settings', None)
        if base and new:
            yield base, new


def _differ(lists: list, checkpoint: dict, groups: list, scheduled: set[str]) -> bool:
    """Whether the schedules, or the values that they start from, are not the saved ones."""
    states = checkpoint.get('param_schedulers')
    saved = (list(states.values()) if isinstance(states, dict) else [states or []])
    return _settings(saved) != _settings([_states(each) for each in lists]) or any(
        old.get(f'initial_{key}') != new.get(f'initial_{key}')
        for old, new in groups for key in scheduled)


def _settings(lists: list) -> list:
    return [[{key: value for key, value in state.items() if key not in _POSITION}
             for state in states] for states in lists]


def _states(schedulers: Any) -> Any:
    if isinstance(schedulers, dict):
        return {name: _states(each) for name, each in schedulers.items()}
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
