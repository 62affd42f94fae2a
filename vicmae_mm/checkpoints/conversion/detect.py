"""Which family a state dict belongs to, inferred from its tensor names."""
import re
from collections.abc import Iterable

from vicmae_mm.utils.errors import InputError

from .families import CONVERTIBLE, FAMILIES, Family


def describe_family(keys: Iterable[str]) -> str:
    """Say in words which network the tensor names look like."""
    keys = list(keys)
    family = _find(keys)
    if family is None:
        return f'no network known here (its parameters are called {", ".join(keys[:3])}, ...)'
    return family.words


def detect_family(keys: Iterable[str]) -> str:
    """Name the convertible family that tensor names belong to.

    Raises:
        ValueError: If they belong to none.
    """
    keys = list(keys)
    family = _find(keys)
    if family is None or family.name is None:
        raise InputError(f'It looks like {describe_family(keys)}. What can be converted: '
                         f'{", ".join(CONVERTIBLE)}.')
    return family.name


def _find(keys: list[str]) -> Family | None:
    for family in FAMILIES:
        if all(any(re.search(pattern, key) for key in keys) for pattern in family.patterns):
            return family
    return None
