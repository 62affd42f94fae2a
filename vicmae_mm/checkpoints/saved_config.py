"""The config text in a checkpoint, read as data: nothing in it is executed."""
import ast
from collections.abc import Iterator
from typing import Any

_LONGEST = 2_000_000  # characters; a real one has some 10,000


def read_config_text(text: Any) -> dict[str, Any]:
    """The settings in a config text as mmengine saves it; {} if it cannot be parsed.

    Literals, and ``dict(...)`` of them, become data, tuples become lists. Any other expression
    becomes its text, so that it can be compared.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        return {}
    try:
        return {target.id: _value(node.value) for node in ast.parse(text).body
                if isinstance(node, ast.Assign) for target in node.targets
                if isinstance(target, ast.Name)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    pairs: list[tuple[ast.expr | None, ast.expr]]
    if isinstance(node, ast.Dict):
        pairs = list(zip(node.keys, node.values, strict=True))
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == 'dict':
        # dict({'.cls_token': ...}, name=...): keys that cannot be keyword arguments
        pairs = [(None, item) for item in node.args] + [
            (ast.Constant(word.arg) if word.arg else None, word.value) for word in node.keywords]
    else:
        return ast.unparse(node)  # also -1, which is an expression
    result: dict[str, Any] = {}
    for key, item in pairs:
        if key is None:
            inner = _value(item)
            result.update(inner if isinstance(inner, dict) else {'': inner})
        else:
            result[str(_value(key))] = _value(item)
    return result


def changed_settings(before: Any, after: Any, path: str = '') -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, old and new value of each setting that differs; None for one that is not there.

    Lists of different lengths differ as a whole.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from changed_settings(
                before.get(key), after.get(key), f'{path}.{key}'.lstrip('.'))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after) and (
            any(isinstance(item, dict | list) for item in before)):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from changed_settings(*pair, f'{path}.{index}')
    elif before != after:
        yield path, before, after
