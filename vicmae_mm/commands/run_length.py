"""``--epochs N``: the length of a run, with everything that depends on it."""
import re
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from vicmae_mm.utils.errors import InputError

_SCALABLE = re.compile(
    r'\b(Linear|Constant|CosineAnnealing|MultiStep|OneCycle|Poly|ReduceOnPlateau)'
    r'(LR|Momentum|ParamScheduler|WeightDecay)\b')
# of schedules, contrast, averaged weights, mmpretrain's SwitchRecipeHook and validation
_POINTS = ('begin', 'end', 'T_max', 'total_steps', 'ramp_epochs', 'begin_epoch', 'begin_iter',
           'action_epoch', 'val_begin')


def set_epochs(cfg: Config, epochs: int | None = None) -> None:
    """Make a run ``epochs`` long (None: the config's variable of this name, if it has one).

    Schedules, and the begin of contrast, of averaged weights and of validation keep their share of
    the run, in whole epochs if it has two or more. What ended with the run still does.

    Raises:
        ValueError: The run counts iterations, or a schedule cannot be scaled.
    """
    epochs = cfg.get('epochs') if epochs is None else epochs
    if epochs is None:
        return
    loop: Any = cfg.get('train_cfg') or {}
    if type(epochs) is not int or epochs < 1 or not loop.get('max_epochs'):
        raise InputError(f'--epochs {epochs}: must be 1 or more, of a run that counts epochs. One '
                         'that counts iterations has train_cfg.max_iters and a param_scheduler.')
    cfg.epochs = epochs
    schedules = schedules_of(cfg)
    by_epoch = [each for each in schedules if each.get('by_epoch', True) and not warms_up(each)]
    length = end_of(by_epoch[-1], loop.max_epochs) if by_epoch else loop.max_epochs
    if length == loop.max_epochs == epochs:
        return
    for kind in [each.type for each in schedules if not _SCALABLE.search(str(each.type))]:
        raise InputError(f'--epochs {epochs}: {kind} cannot be scaled from {length} epochs. Set '
                         'param_scheduler and train_cfg.max_epochs yourself.')
    for name in ('param_scheduler', 'default_hooks', 'custom_hooks', 'train_cfg'):
        for settings in nested_dicts(cfg.get(name)):
            _scale(settings, length, epochs)
    if loop.get('val_interval') == loop.max_epochs:  # once, at the end
        loop.val_interval = epochs
    loop.max_epochs = epochs


def schedules_of(cfg: Config) -> list[Any]:
    """The settings of all schedules, of one or several optimizers."""
    return [each for each in nested_dicts(cfg.get('param_scheduler')) if 'type' in each]


def nested_dicts(node: Any) -> Iterator[Any]:
    """The dicts in a part of a config, from the outside in."""
    if isinstance(node, dict):
        yield node
        node = [*node.values()]
    for each in node if isinstance(node, (list, tuple)) else ():
        yield from nested_dicts(each)


def warms_up(schedule: Any) -> bool:
    """Whether a schedule says nothing about the length of the run."""
    is_constant = 'Constant' in str(schedule.type) and not schedule.get('begin')
    return is_constant or ('start_factor' in schedule and schedule.get('end_factor', 1) == 1)


def end_of(schedule: Any, total: float) -> float:
    """Where the settings of a schedule say that it ends; ``total`` if they do not."""
    begin = schedule.get('begin') or 0
    span = schedule.get('T_max') or schedule.get('total_steps')
    end = schedule.get('end') or (begin + span if span else total)
    # Some stock cosines count from the start of the run.
    if span and span not in (total, end - begin):
        end = begin + span
    return max(begin, end, begin + max(schedule.get('milestones') or [0]))


def _scale(settings: Any, length: float, epochs: int) -> None:
    """Scale what a dict of settings counts in epochs or iterations, in place."""
    by_epoch = settings.get('by_epoch', True)

    def scaled(point: float) -> float:
        new = max(round(point * epochs / length), 1)
        return epochs / 2 if by_epoch and point < length and new >= epochs else new

    end = settings.get('end', length if by_epoch else None)
    for name in ('T_max', 'total_steps'):
        if settings.get(name) and end == (settings.get('begin') or 0) + settings[name]:
            del settings[name]  # mmengine's default is the same, to the iteration
    settings.update({name: scaled(settings[name]) for name in _POINTS if settings.get(name)})
    if settings.get('milestones'):
        settings['milestones'] = [scaled(each) for each in settings['milestones']]
    if settings.get('dynamic_intervals'):
        settings['dynamic_intervals'] = [
            (scaled(first), every) for first, every in settings['dynamic_intervals']]
    if by_epoch and 'start_factor' in settings and settings.get('end', 2) < 2:
        settings['convert_to_iter_based'] = True  # one step would never leave its start_factor
