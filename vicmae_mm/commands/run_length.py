"""``--epochs N``: the length of a run, with everything that depends on it."""
import re
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from vicmae_mm.utils.errors import InputError

_SCALABLE = re.compile(
    r'\b(Linear|Constant|CosineAnnealing|MultiStep|OneCycle|Poly|ReduceOnPlateau)'
    r'(LR|Momentum|ParamScheduler|WeightDecay)\b')
_SPANS = 'T_max', 'total_steps'
# of schedules, contrast, averaged weights, mmpretrain's SwitchRecipeHook and validation
_POINTS = 'begin', 'end', 'ramp_epochs', 'begin_epoch', 'begin_iter', 'action_epoch', 'val_begin'


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
    schedules = [each for each in _dicts(cfg.get('param_scheduler')) if 'type' in each]
    length = _length(schedules, loop.max_epochs)
    if length == loop.max_epochs == epochs:
        return
    for kind in [str(each.type) for each in schedules if not _SCALABLE.search(str(each.type))]:
        raise InputError(
            f'--epochs {epochs}: what {kind} does in {length} epochs does not say what it should '
            f'in {epochs}. Set param_scheduler and train_cfg.max_epochs yourself.')
    for name in ('param_scheduler', 'default_hooks', 'custom_hooks', 'train_cfg'):
        for settings in _dicts(cfg.get(name)):
            _scale(settings, length, epochs)
    loop.max_epochs = epochs


def _dicts(node: Any) -> Iterator[Any]:
    """The dicts in a part of a config, from the outside in."""
    if isinstance(node, dict):
        yield node
        node = [*node.values()]
    for each in node if isinstance(node, (list, tuple)) else ():
        yield from _dicts(each)


def _length(schedules: list[Any], max_epochs: int) -> int:
    """The epochs that the last schedule is for, which a warm-up does not say."""
    last: Any = ([{}] + [each for each in schedules if each.get('by_epoch', True) and (
        'end_factor' in each or 'start_factor' not in each)])[-1]
    begin = last.get('begin') or 0
    span = next((last[name] for name in _SPANS if last.get(name)), max_epochs - begin)
    end = last.get('end') or begin + span
    if begin + max(last.get('milestones') or [0]) > end:
        raise InputError(f'--epochs: milestones={last.milestones} lie beyond the {end} epochs of '
                         'the run, so it is unknown which length they are for: correct one.')
    return end


def _scale(settings: Any, length: int, epochs: int) -> None:
    """Scale what a dict of settings counts in epochs or iterations, in place."""
    by_epoch = settings.get('by_epoch', True)

    def scaled(point: float) -> float:
        new = max(round(point * epochs / length), 1)
        return epochs / 2 if by_epoch and point < length and new >= epochs else new

    end = settings.get('end', length if by_epoch else None)
    for name in _SPANS:
        if settings.get(name) and end == (settings.get('begin') or 0) + settings[name]:
            del settings[name]  # mmengine's default is the same, to the iteration
    settings.update({name: scaled(settings[name]) for name in (*_SPANS, *_POINTS)
                     if settings.get(name)})
    if settings.get('milestones'):
        settings['milestones'] = [scaled(each) for each in settings['milestones']]
    if settings.get('dynamic_intervals'):
        settings['dynamic_intervals'] = [
            (scaled(first), every) for first, every in settings['dynamic_intervals']]
    if by_epoch and 'start_factor' in settings and settings.get('end', 2) < 2:
        settings['convert_to_iter_based'] = True  # one step would never leave its start_factor
