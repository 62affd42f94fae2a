"""Errors of what mmengine builds from settings, in words about the settings."""
import inspect
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from types import FrameType
from typing import Any

from mmengine.registry import DefaultScope, Registry

_REGISTRY = os.path.join('mmengine', 'registry', 'build_functions.py')
_RUNNER = os.path.join('mmengine', 'runner', 'runner.py')
_REFUSED = re.compile(r"((\w+)\S*?)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")


def scope_advice(error: Exception, frames: list[FrameType]) -> str | None:
    """Advice if a type of another library is built from parts that the default scope lacks.

    ``type='mmaction.TimeSformer'`` finds the class itself, but its attention, which is named
    without a prefix, is looked up in the default scope of the config. ``_scope_`` sets the scope
    for all its parts. ``frames`` are those that the error passed through, the outermost first.
    """
    place = frames[-1].f_locals if frames else {}
    part, registry = place.get('obj_type') or place.get('layer_type'), place.get('registry')
    default = DefaultScope.get_current_instance()
    if not (isinstance(error, KeyError) and isinstance(part, str)
            and isinstance(registry, Registry) and default is not None):
        return None
    # What builds the part; the innermost frame may be the registry's own, which looks it up.
    for frame in reversed(frames[:-1]):
        cfg = frame.f_locals.get('cfg')
        if not (frame.f_code.co_filename.endswith(_REGISTRY) and isinstance(cfg, dict)):
            continue
        scope, _, name = str(cfg.get('type')).rpartition('.')
        if scope and scope != default.scope_name and registry.get(f'{scope}.{part}') is not None:
            return (f'{scope}.{name} is built from {part!r}, which is looked up in the default '
                    f"scope {default.scope_name!r}: add _scope_='{scope}' to the dict with "
                    f"type='{scope}.{name}'.")
    return None


def argument_advice(error: Exception, frames: list[FrameType]) -> str | None:
    """Words about an argument that a config gives to something that does not take it."""
    match = _REFUSED.match(str(error)) if isinstance(error, TypeError) else None
    if match is None:
        return None
    refusing, owner, name = match.groups()
    called: Any = next((
        frame.f_locals.get('obj_cls') or frame.f_locals.get('scheduler_cls')
        for frame in reversed(frames) if frame.f_code.co_filename.endswith(_REGISTRY)
        and name in frame.f_locals.get('args', ())), None)
    if frames[-1].f_code.co_filename.endswith(_RUNNER):  # dataloaders, loops, seeds
        called = frames[-1].f_globals.get(owner)
        called = getattr(called, refusing.partition('.')[2], called)
    # An __init__ may pass arguments on to its parents. If another class refuses, it is a bug.
    if refusing not in [each.__qualname__ for each in _family(called)]:
        return None
    known = sorted(arguments(called))
    close = get_close_matches(name, known, 1)
    return f'{called.__name__} has no argument {name!r}' + (
        f'; did you mean {close[0]}?' if close else f'; it takes {", ".join(known)}')


def arguments(called: Any) -> set[str]:
    """Names of the arguments of a function, or of a class and its parents."""
    makers = [vars(each).get('__init__') if inspect.isclass(each) else each
              for each in _family(called)]
    return {name for maker in makers if inspect.isroutine(maker) and maker is not object.__init__
            for name, one in inspect.signature(maker).parameters.items()
            if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)} - {'self', 'cls'}


def _family(called: Any) -> Iterable[Any]:
    return inspect.getmro(called) if inspect.isclass(called) else [called] if called else []
