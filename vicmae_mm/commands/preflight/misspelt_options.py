"""Settings of the command line that the config does not know."""
import inspect
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

# what mmengine's runner and the tools read at the top of a config
_TOP = {*inspect.signature(Runner.__init__).parameters, 'compile', 'find_unused_parameters',
        'model_wrapper_cfg', 'sync_bn', 'runner_type', 'custom_imports'} - {'self', 'cfg'}


def misspelt_options(cfg: Config, options: Iterable[str]) -> list[str]:
    """Warn of new settings that look like misspelt ones; mmengine adds them in silence.

    Args:
        cfg: The config before the options are merged into it.
        options: Dotted names, as of ``--cfg-options``.

    Returns:
        A line for each name that is new, and either unknown at the top of a config or close to a
        name that is there.
    """
    return [words for option in options if (words := _words(cfg, option))]


def _words(cfg: Config, option: str) -> str | None:
    parts = option.split('.')
    node: Any = cfg
    for depth, part in enumerate(parts):
        names = _names(node)
        if part not in names:
            known = _TOP | names if depth == 0 else names
            if depth == 0 and part in _TOP:
                return None
            close = get_close_matches(part, known, n=1, cutoff=0.75)
            if not close and depth > 0:
                return None
            hint = ('.'.join([*parts[:depth], *close, *parts[depth + 1:]]) if close
                    else 'one of ' + ', '.join(sorted(names)))
            return f'--cfg-options {option}: the config has no such setting; did you mean {hint}?'
        node = node[int(part)] if isinstance(node, (list, tuple)) else node[part]
    return None


def _names(node: Any) -> set[str]:
    if isinstance(node, (list, tuple)):
        return {str(index) for index in range(len(node))}
    return {str(name) for name in node} if hasattr(node, 'keys') else set()
