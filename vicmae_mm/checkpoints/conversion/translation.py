"""Tensors of a family made ours and the other way round, by its table."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from vicmae_mm.utils.errors import InputError

from .detect import describe_family
from .families import CONVERTIBLE, Family
from .names import shorten
from .rules import Rule
from .tensors import pack, unpack

ENCODER = 'backbone'
PATCHES = f'{ENCODER}.patch_embed.projection.weight'
# parts of a tensor, by its rule and layer
Groups = dict[tuple[Rule, int], list[Tensor | None]]


def to_ours(state: Mapping[str, Tensor], name: str) -> tuple[dict[str, Tensor], list[str]]:
    """Rename and pack tensors of a family.

    Returns:
        The tensors as they are here, and the names of those that nothing here holds.

    Raises:
        ValueError: If one is none of the family's, is missing or is there twice.
    """
    family, unknown, unheld = CONVERTIBLE[name], [], []
    groups: Groups = {}
    for key, tensor in state.items():
        rule, index, layer = _find(family, key)
        if rule is None:
            unknown.append(key)
        elif rule.ours is None:
            unheld.append(key)
        else:
            group = groups.setdefault((rule, layer), [None] * len(rule.theirs))
            if group[index] is not None:
                raise InputError(f'{key} is there twice, with and without a prefix.')
            group[index] = tensor
    if unknown:
        raise InputError(
            f"{len(unknown)} of {len(state)} tensors are none of {name}'s: {shorten(unknown)}. It "
            f'looks like {describe_family(state)}.')
    _check_complete(family, groups, name)
    ours = {rule.ours.format(i=layer): pack(parts, rule.packing)
            for (rule, layer), parts in groups.items() if rule.ours is not None}
    check_dims(ours, name)
    return ours, unheld


def _find(family: Family, key: str) -> tuple[Rule | None, int, int]:
    for pattern, spelling in family.spellings:
        key = re.sub(pattern, spelling, key)
    if family.base_prefix and key.startswith(family.base_prefix):
        key = '@' + key.removeprefix(family.base_prefix)
    for rule in family.rules:
        match = rule.match(key)
        if match is not None:
            return (rule, *match)
    return None, 0, 0


def _check_complete(family: Family, groups: Groups, name: str) -> None:
    """Refuse a network of which a tensor is missing: of a part that is there, all must be."""
    depth: dict[str, int] = {}
    found = set()
    for (rule, layer), parts in groups.items():
        depth[rule.part] = max(depth.get(rule.part, 0), layer + 1)
        found |= {theirs.format(i=layer) for theirs, part in zip(rule.theirs, parts, strict=True)
                  if theirs is not None and part is not None}
    wanted = {
        theirs.format(i=layer): None
        for rule in family.rules if not rule.optional and rule.ours
        if rule.part in depth or rule.part == ENCODER
        for layer in range(depth.get(rule.part, 1) if rule.layered else 1)
        for theirs in rule.theirs if theirs is not None}
    missing = [key.removeprefix('@') for key in wanted if key not in found]
    if missing:
        raise InputError(f"{len(missing)} of {name}'s tensors are missing: {shorten(missing)}.")


def check_dims(ours: Mapping[str, Tensor], name: str) -> None:
    """Refuse a network for images where one for clips is wanted, and the other way round.

    Raises:
        ValueError: If the patch embedding has not as many axes as the family's.
    """
    kinds, wanted = {4: 'images', 5: 'clips'}, CONVERTIBLE[name].dims
    dims = ours[PATCHES].ndim if PATCHES in ours else wanted
    if dims != wanted:
        advice = (' VideoViT takes weights of images as they are: it inflates them on loading.'
                  if dims == 4 else '')
        raise InputError(
            f'{name} networks are for {kinds[wanted]} (patch embeddings of {wanted} axes), but '
            f'this one is for {kinds.get(dims, "neither")} ({dims} axes).{advice}')


def from_ours(ours: Mapping[str, Tensor],
              name: str) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Rename and unpack tensors of ours.

    Returns:
        The tensors as the family has them, the names of those that it has no place for, and
        the biases of keys that are left out (softmax does not see them).

    Raises:
        ValueError: If one of the family is missing.
    """
    family = CONVERTIBLE[name]
    groups: Groups = {}
    theirs: dict[str, Tensor] = {}
    unheld, unseen = [], []
    check_dims(ours, name)
    for key, tensor in ours.items():
        rule, layer = _find_ours(family.rules, key)
        if rule is None or any(part and part.format(i=layer) in theirs for part in rule.theirs):
            unheld.append(key)
            continue
        parts = unpack(tensor, rule.packing, len(rule.theirs))
        groups[rule, layer] = list(parts)
        for their_key, part in zip(rule.theirs, parts, strict=True):
            if their_key is not None:
                theirs[their_key.format(i=layer)] = part
            elif part.any():
                unseen.append(f'{key} of the keys')
    if not unheld:
        _check_complete(family, groups, name)
    prefix = family.base_prefix if any(not key.startswith('@') for key in theirs) else ''
    return {re.sub('^@', prefix, key): value for key, value in theirs.items()}, unheld, unseen


def _find_ours(table: Iterable[Rule], key: str) -> tuple[Rule | None, int]:
    for rule in table:
        layer = rule.match_ours(key)
        if layer is not None:
            return rule, layer
    return None, 0
