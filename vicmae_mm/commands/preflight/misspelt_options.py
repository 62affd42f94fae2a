"""Options that look misspelt, and where a config has the settings that errors are about."""
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config

from .findings import Findings

_NO_TYPE = re.compile(r'^.*?((\S+) is not in the (?:\S+::)?([\w ]+) registry)\. .*$')
_NO_ARGUMENT = re.compile(r"^.*?((\w+) has no argument '(\w+)'.*)$")


def misspelt_options(cfg: Config, options: Iterable[str]) -> list[str]:
    """Find new settings that look misspelt: mmengine adds any new setting without a word.

    Those at the top level are left to :func:`.unknown_keys.check_keys`.

    Args:
        cfg: The config before the options are merged into it.
        options: Dotted names, as of ``--cfg-options``.

    Returns:
        A warning for each new name that resembles an existing one.
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
            # A new name may be any argument of a class: only a typo is suspicious.
            for name in get_close_matches(part, names, n=1, cutoff=0.75) if depth else ():
                hint = '.'.join([*parts[:depth], name, *parts[depth + 1:]])
                return (f'--cfg-options {option}: the config has no such setting; did you mean '
                        f'{hint}?')
            return None
        node = node[int(part)] if is_list else node[part]
    return None


def name_settings(cfg: Config, findings: Findings) -> None:
    """Say in errors about unknown types and arguments where the config has them."""
    for index, line in enumerate(findings.errors):
        if match := _NO_TYPE.match(line):
            words, kind, registry = match.groups()
            for path, _ in _dicts_with('type', cfg, kind):
                findings.errors[index] = (
                    f'{path}.type={kind!r} is not a registered {registry}: correct its spelling, '
                    f'or add the module that defines it to custom_imports ({words})')
                break
        elif match := _NO_ARGUMENT.match(line):
            words, kind, name = match.groups()
            found = list(_dicts_with(name, cfg))
            typed = [(path, node) for path, node in found
                     if str(node.get('type')).rpartition('.')[2] == kind]
            for path, _ in (typed or found)[:1]:
                findings.errors[index] = f'{path}.{name}: {words}'
    findings.errors[:] = dict.fromkeys(findings.errors)


def _dicts_with(key: str, node: Any, value: Any = None, path: str = '') -> Iterator[tuple]:
    """Path and dict of each part of a config with a key, and with its value unless that is None."""
    if isinstance(node, (list, tuple)):
        node = dict(enumerate(node))
    if hasattr(node, 'items'):
        if path and key in node and value in (None, node[key]):
            yield path, node
        for name, part in node.items():
            yield from _dicts_with(key, part, value, f'{path}.{name}' if path else str(name))
