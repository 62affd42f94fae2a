"""Settings of the command line that the config does not know, and types that nothing registers."""
import inspect
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from .findings import Findings

_NO_TYPE = re.compile(r'^.*?((\S+) is not in the (?:\S+::)?([\w ]+) registry)\. .*$')
# What mmengine's runner and the tools read at the top level of a config.
_TOP = {*inspect.signature(Runner.__init__).parameters, 'compile', 'find_unused_parameters',
        'model_wrapper_cfg', 'sync_bn', 'runner_type', 'custom_imports'} - {'self', 'cfg'}


def misspelt_options(cfg: Config, options: Iterable[str]) -> list[str]:
    """Find new settings that look misspelt: mmengine adds any new setting without a word.

    Args:
        cfg: The config before the options are merged into it.
        options: Dotted names, as of ``--cfg-options``.

    Returns:
        A warning for each new name that is unknown at the top level or resembles an existing name.
    """
    return [warning for option in options if (warning := _check(cfg, option))]


def _check(cfg: Config, option: str) -> str | None:
    parts = option.split('.')
    node: Any = cfg
    for depth, part in enumerate(parts):
        is_list = isinstance(node, (list, tuple))
        keys = range(len(node)) if is_list else node if hasattr(node, 'keys') else ()
        names = {str(key) for key in keys}
        if part not in names:
            if depth == 0 and part in _TOP:
                return None
            known = _TOP | names if depth == 0 else names
            close = get_close_matches(part, known, n=1, cutoff=0.75)
            # Further down, a new name may be any argument of a class: only a typo is suspicious.
            if not close and depth > 0:
                return None
            hint = ('.'.join([*parts[:depth], *close, *parts[depth + 1:]]) if close
                    else 'one of ' + ', '.join(sorted(names)))
            return f'--cfg-options {option}: the config has no such setting; did you mean {hint}?'
        node = node[int(part)] if is_list else node[part]
    return None


def name_types(cfg: Config, findings: Findings) -> None:
    """Say in mmengine's errors about unknown types where the config names them."""
    for index, line in enumerate(findings.errors):
        if match := _NO_TYPE.match(line):
            words, kind, registry = match.groups()
            for path in _paths_of_type(cfg, kind):
                findings.errors[index] = (
                    f'{path}.type={kind!r} is not a registered {registry}: correct its spelling, '
                    f'or add the module that defines it to custom_imports ({words})')
                break
    findings.errors[:] = dict.fromkeys(findings.errors)


def _paths_of_type(node: Any, kind: str, path: str = '') -> Iterator[str]:
    if isinstance(node, (list, tuple)):
        node = dict(enumerate(node))
    if hasattr(node, 'items'):
        if node.get('type') == kind:
            yield path
        for key, value in node.items():
            yield from _paths_of_type(value, kind, f'{path}.{key}' if path else str(key))
