"""``~`` for the home folder, wherever a user may write a path."""
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_AFTER_EQUALS = re.compile(r'([^=\s]+=["\']?)(?=~)')  # where no shell expands it


def expand_home(value: Any) -> Any:
    """Expand ``~`` and ``~user`` in strings and paths, in dicts and lists in place.

    Returns:
        The same, expanded; anything but strings, paths, dicts, lists and tuples as it is.
    """
    if isinstance(value, (str, Path)):
        return type(value)(os.path.expanduser(value))
    if isinstance(value, dict):
        for key, part in list(value.items()):
            if isinstance(part, (str, Path, dict, list, tuple)):
                value[key] = expand_home(part)
    elif isinstance(value, list):
        value[:] = map(expand_home, value)
    elif type(value) is tuple:
        return tuple(map(expand_home, value))
    return value


def expand_arguments(arguments: Iterable[str]) -> list[str]:
    """Expand ``~`` in the arguments of a command, also in ``--out=~/file`` and ``KEY=~/file``."""
    starts = [(argument, _AFTER_EQUALS.match(argument)) for argument in arguments]
    return [start[0] + os.path.expanduser(argument[start.end():]) if start
            else os.path.expanduser(argument) for argument, start in starts]
