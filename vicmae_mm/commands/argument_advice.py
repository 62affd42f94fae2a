"""Arguments in a config that the class or function they are for does not take."""
import inspect
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from types import FrameType
from typing import Any

_REFUSED = re.compile(r"(\S+)\(\) got an unexpected keyword argument '(\w+)'")
_REGISTRY = os.path.join('mmengine', 'registry', 'build_functions.py')
_RUNNER = os.path.join('mmengine', 'runner', 'runner.py')


def argument_advice(error: Exception, frames: list[FrameType]) -> str | None:
    """Words about a misspelt argument, with a name that is close to it.

    Args:
        error: A TypeError of what mmengine's registry or runner builds from settings; any other
            gives None.
        frames: The frames it passed through, the outermost first.
    """
    match = _REFUSED.match(str(error))
    if not (match and isinstance(error, TypeError)):
        return None
    owner, _, method = match[1].partition('.')
    called: Any = next((frame.f_locals.get('obj_cls') or frame.f_locals.get('scheduler_cls')
                        for frame in reversed(frames)
                        if frame.f_code.co_filename.endswith(_REGISTRY)
                        and match[2] in frame.f_locals.get('args', ())), None)
    if frames[-1].f_code.co_filename.endswith(_RUNNER):  # dataloaders, loops, seeds
        called = frames[-1].f_globals.get(owner)
        called = called if method in ('', '__init__') else getattr(called, method, None)
    # An __init__ may pass arguments on to its parents. If another class refuses, it is a bug.
    family = inspect.getmro(called) if inspect.isclass(called) else [called]
    if match[1].removesuffix('.__init__') not in [
            getattr(each, '__qualname__', None) for each in family]:
        return None
    return (f'{called.__name__} has no argument {match[2]!r}'
            f'{did_you_mean(match[2], arguments(called))}')


def arguments(called: Any) -> set[str]:
    """Names of the arguments of a function, or of a class and its parents."""
    made = [vars(each).get('__init__') for each in inspect.getmro(called)] if inspect.isclass(
        called) else [called]
    return {name for each in made if inspect.isfunction(each) or inspect.ismethod(each)
            for name, one in inspect.signature(each).parameters.items()
            if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)} - {'self', 'cls'}


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The end of a message that a name is unknown: the closest of the known ones, or all."""
    close = get_close_matches(name, sorted(known), n=1, cutoff=cutoff)
    return f'; did you mean {close[0]}?' if close else f'; known are {", ".join(sorted(known))}'
