"""Apply a family's table: its tensors to ours, and ours to its."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vicmae_mm.utils.errors import InputError

from .detect import describe_family
from .families import CONVERTIBLE
from .names import shorten
from .rules import Family, Packing, Rule

ENCODER = 'backbone'
PATCHES = f'{ENCODER}.patch_embed.projection.weight'
# Parts of one tensor of ours, by rule and layer.
Groups = dict[tuple[Rule, int], list[Tensor | None]]


def to_ours(state: Mapping[str, Tensor], name: str) -> tuple[dict[str, Tensor], list[str]]:
    """Rename and pack the tensors of a family.

    Returns:
        Our tensors, and the names of those that have no place here.
    """
    family, unknown, unplaced = CONVERTIBLE[name], [], []
    groups: Groups = {}
    for key, tensor in state.items():
        rule, index, layer = _find_rule(family, key)
        if rule is None:
            unknown.append(key)
        elif rule.ours is None:
            unplaced.append(key)
        else:
            group = groups.setdefault((rule, layer), [None] * len(rule.theirs))
            if group[index] is not None:
                raise InputError(f'{key} occurs twice, with and without a prefix.')
            group[index] = tensor
    if unknown:
        raise InputError(
            f'{len(unknown)} of {len(state)} tensors do not belong to {name}: {shorten(unknown)}. '
            f'It looks like {describe_family(state)}.')
    _check_complete(family, groups, name)
    ours = {rule.ours.format(i=layer): _pack(parts, rule.packing)
            for (rule, layer), parts in groups.items() if rule.ours is not None}
    check_dims(ours, name)
    _check_layers(ours)
    return ours, unplaced


def _find_rule(family: Family, key: str) -> tuple[Rule | None, int, int]:
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
    """Refuse a network that lacks a tensor of a module of which it has another one."""
    depth: dict[str, int] = {}
    found = set()
    for (rule, layer), parts in groups.items():
        depth[rule.part] = max(depth.get(rule.part, 0), layer + 1)
        found |= {theirs.format(i=layer) for theirs, part in zip(rule.theirs, parts, strict=True)
                  if theirs is not None and part is not None}
    expected = (
        theirs.format(i=layer)
        for rule in family.rules if not rule.optional and rule.ours
        if rule.part in depth or rule.part == ENCODER
        for layer in range(depth.get(rule.part, 1) if rule.layered else 1)
        for theirs in rule.theirs if theirs is not None)
    # As keys of a dict: once each, in the order of the table.
    missing = [key.removeprefix('@') for key in dict.fromkeys(expected) if key not in found]
    if missing:
        without = (' ViC-MAE needs a class token: a network without one (SigLIP) is not converted.'
                   if any(key.endswith('cls_token') for key in missing) else '')
        raise InputError(f"{len(missing)} of {name}'s tensors are missing: {shorten(missing)}."
                         f'{without}')


def _check_layers(ours: Mapping[str, Tensor]) -> None:
    """Refuse networks that differ from ours under the same names."""
    pre_norm, layer = f'{ENCODER}.pre_norm.weight' in ours, f'{ENCODER}.layers.0.ffn.layers.'
    if len(ours[f'{layer}0.0.weight']) != ours[f'{layer}1.weight'].shape[1]:
        raise InputError('Its layers are gated (SwiGLU), and those of ViCMAEViT are not.')
    if pre_norm == (f'{ENCODER}.patch_embed.projection.bias' in ours):
        raise InputError('The file should have either patch_embed.proj.bias or norm_pre.')
    if pre_norm and not {f'{ENCODER}.ln1.weight', f'{ENCODER}.ln2.weight'} & ours.keys():
        raise InputError('It is a Perception Encoder: ViCMAEViT has no rotary positions.')


def check_dims(ours: Mapping[str, Tensor], name: str) -> None:
    """Raise a ValueError for images where the family's networks are for clips, or the reverse."""
    kinds, expected = {4: 'images', 5: 'clips'}, CONVERTIBLE[name].dims
    dims = ours[PATCHES].ndim if PATCHES in ours else expected
    if dims != expected:
        advice = (' VideoViT accepts image weights as they are: it inflates them when loading.'
                  if dims == 4 else '')
        raise InputError(
            f'{name} networks are for {kinds[expected]} (patch embeddings with {expected} axes), '
            f'but this one is for {kinds.get(dims, "neither")} ({dims} axes).{advice}')


def from_ours(ours: Mapping[str, Tensor],
              name: str) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Rename and unpack tensors of ours.

    Returns:
        The family's tensors, the names of those that have no place there, and those of nonzero
        key biases that are left out.
    """
    family = CONVERTIBLE[name]
    groups: Groups = {}
    theirs: dict[str, Tensor] = {}
    unplaced, key_biases, added = [], [], {}
    check_dims(ours, name)
    for key, tensor in ours.items():
        matches = ((rule, number) for rule in family.rules
                   if (number := rule.match_ours(key)) is not None)
        rule, layer = next(matches, (None, 0))
        if rule is None or any(part and part.format(i=layer) in theirs for part in rule.theirs):
            unplaced.append(key)
            continue
        parts = _unpack(tensor, rule.packing, len(rule.theirs))
        groups[rule, layer] = list(parts)
        for their_key, part in zip(rule.theirs, parts, strict=True):
            if their_key is not None:
                theirs[their_key.format(i=layer)] = part
            elif part.any() and rule.packing is Packing.ROWS:
                added['cls_token'] = part
            elif part.any():
                # Left out without effect: softmax ignores what is the same for all keys.
                key_biases.append(f'{key} of the keys')
    # A position that has no place of its own belongs to the token, as when timm loads DINOv2.
    theirs |= {key: theirs[key] + row for key, row in added.items()}
    # If tensors have no place, the caller says so: missing ones may be a mere consequence.
    if not unplaced:
        _check_complete(family, groups, name)
    prefix = family.base_prefix if any(not key.startswith('@') for key in theirs) else ''
    return {re.sub('^@', prefix, key): value for key, value in theirs.items()}, unplaced, key_biases


def _pack(parts: Sequence[Tensor | None], packing: Packing) -> Tensor:
    """Join parts to one tensor, bit for bit; None becomes zeros of the size of its neighbours."""
    like, dim = next(part for part in parts if part is not None), int(packing is Packing.ROWS)
    if packing is Packing.ONE:
        return like
    zeros = torch.zeros_like(like[:, :1] if dim else like)
    return torch.cat([zeros if part is None else part for part in parts], dim)


def _unpack(tensor: Tensor, packing: Packing, count: int) -> Sequence[Tensor]:
    """Split a tensor into the parts that :func:`_pack` joined."""
    if packing is Packing.ONE:
        return [tensor]
    parts = (tensor.chunk(count) if packing is Packing.STACKED else
             tensor.split((1, tensor.shape[1] - 1), dim=1))
    # Copies: a view would be saved with the memory of the complete tensor.
    return [part.clone() for part in parts]
