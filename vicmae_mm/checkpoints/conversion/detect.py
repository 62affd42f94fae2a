"""Which family a state dict belongs to, inferred from its tensor names."""
import math
import re
from collections.abc import Collection, Mapping

from vicmae_mm.utils.errors import InputError

from .families import CONVERTIBLE, FAMILIES, NO_EMBED_CLASS, OURS, WRAPPER
from .rules import Family


def find_networks(keys: Collection[str]) -> dict[str, Family]:
    """Families of the networks in a file, by the prefix of their tensors' names.

    A prefix consists of names such as ``model.`` or ``teacher.backbone.``, see :data:`WRAPPER`. The
    prefix '' comes first, unless only networks under prefixes can be converted.
    """
    prefixes = {'': None}  # in the order of the file
    for key in keys:
        end = 0
        while match := WRAPPER.match(key, end):
            end = match.end()
            prefixes[key[:end]] = None
    found: dict[str, Family] = {}
    for prefix in sorted(prefixes, key=len):
        # A prefix inside a network is one of its modules, unless only a module was recognised.
        if not any(prefix.startswith(outer) and (family.name or family.patterns[0][0] == '^')
                   for outer, family in found.items()):
            family = _first_match([key[len(prefix):] for key in keys if key.startswith(prefix)])
            if family is not None:
                found[prefix] = family
    return {prefix: family for prefix, family in found.items() if family.name} or dict(
        [*found.items()][:1])


def needs_conversion(keys: Collection[str]) -> bool:
    """Whether tensors have names of other projects, or ours under a prefix; False if unknown."""
    return not any(key.startswith('backbone.') for key in keys) or any(
        family.name and (prefix or family.name != OURS)
        for prefix, family in find_networks(keys).items())


def describe_family(keys: Collection[str]) -> str:
    """Describe the network that tensor names belong to, for a message."""
    networks = find_networks(keys)
    if not networks:
        return f'an unknown network (its parameters are called {", ".join([*keys][:3])}, ...)'
    return ' and '.join(family.description + (f' under {prefix!r}' if prefix else '')
                        for prefix, family in networks.items())


def choose_network(keys: Collection[str]) -> tuple[str, str]:
    """The prefix and the family of the only network in a file that can be converted.

    Raises:
        ValueError: If there is none, or several.
    """
    networks = find_networks(keys)
    names = [family.name for family in networks.values() if family.name]
    if not names:
        reason = ''.join(f' ({family.reason})' for family in networks.values() if family.reason)
        raise InputError(f'It looks like {describe_family(keys)}{reason}. Families that can be '
                         f'converted: {", ".join(CONVERTIBLE)}.')
    if len(names) > 1:
        raise InputError(
            f'It contains {len(names)} networks: {describe_family(keys)}. Choose one: convert the '
            'file with vicmae convert and --drop (drop=[...]) with the prefixes of '
            'the others.')
    prefix = next(iter(networks))
    if names[0] == 'timm' and f'{prefix}blocks.0.ls1.gamma' in keys and isinstance(keys, Mapping):
        table, patches = (getattr(keys.get(prefix + name), 'shape', ())
                          for name in ('pos_embed', 'patch_embed.proj.weight'))
        # A square: no row for a class token. DINOv2 on images that are not square may have one as
        # well, but has patches of 14 px, as of DeiT III the widest alone.
        if table and math.isqrt(table[1])**2 == table[1] and (
                patches[-1:] != (14, ) or table[2] == 1280):
            return prefix, NO_EMBED_CLASS
    return prefix, names[0]


def _first_match(keys: Collection[str]) -> Family | None:
    for family in FAMILIES:
        if all(any(re.search(pattern, key) for key in keys) for pattern in family.patterns):
            return family
    return None
