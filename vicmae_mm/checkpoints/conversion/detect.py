"""Which family a state dict belongs to, inferred from its tensor names."""
import re
from collections.abc import Collection

from vicmae_mm.utils.errors import InputError

from .families import CONVERTIBLE, FAMILIES, Family


def describe_family(keys: Collection[str]) -> str:
    """Describe the network that tensor names belong to, for a message."""
    family = _first_match(keys)
    if family is None:
        return f'an unknown network (its parameters are called {", ".join([*keys][:3])}, ...)'
    return family.description


def detect_family(keys: Collection[str]) -> str:
    """Name the convertible family that tensor names belong to; a ValueError if there is none."""
    family = _first_match(keys)
    if family is None or family.name is None:
        raise InputError(f'It looks like {describe_family(keys)}. Families that can be converted: '
                         f'{", ".join(CONVERTIBLE)}.')
    return family.name


def _first_match(keys: Collection[str]) -> Family | None:
    for family in FAMILIES:
        if all(any(re.search(pattern, key) for key in keys) for pattern in family.patterns):
            return family
    return None
