"""``~`` for the home folder, wherever a user may write a path."""
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The shell expands ~ at the start of a word, but not after "=".
_AFTER_EQUALS = re.compile(r'([^=\s]+=["\']?)(~.*)', re.DOTALL)


def expand_home(value: Any) -> Any:
    """Replace ``~`` and ``~user`` at the start of strings and paths by the home folder.

    Args:
        value: A string or path, or a dict, list or tuple of them, at any depth. Dicts and lists are
            changed in place.

    Returns:
        The same, expanded; anything else as it is.
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


def expand_arguments(arguments: Sequence[str]) -> list[str]:
    """Expand ``~`` in the arguments of a command, also in ``--out=~/file`` and ``KEY=~/file``."""
    found = [(argument, _AFTER_EQUALS.fullmatch(argument)) for argument in arguments]
    return [match[1] + os.path.expanduser(match[2]) if match else os.path.expanduser(argument)
            for argument, match in found]
