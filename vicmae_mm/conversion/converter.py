"""Names and shapes of one family made those of another."""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from vicmae_mm.apis.checkpoint_family import describe_family, detect_family

from .families import FAMILIES, OURS, Family
from .names import shorten
from .rules import Rule
from .tensors import pack, sinusoid_table, unpack

NAMES = (*FAMILIES, OURS)
ENCODER = 'backbone'
_POSITIONS, _PATCHES = 'backbone.pos_embed', 'backbone.patch_embed.projection.weight'


@dataclass
class Conversion:
    """A converted state dict and what became of each tensor.

    Args:
        state: The converted tensors.
        source: Family it was.
        target: Family it is.
        left_out: Names of tensors of the source that are not in it.
        parts: Number of tensors that were converted, as they are here, of each module here.
        added: What is in it though no tensor of the source is, in words.
    """

    state: dict[str, Tensor]
    source: str
    target: str
    left_out: list[str] = field(default_factory=list)
    parts: Counter[str] = field(default_factory=Counter)
    added: list[str] = field(default_factory=list)


def convert(state_dict: Mapping[str, Tensor],
            source: str | None = None,
            target: str = OURS,
            *,
            drop: Sequence[str] = (),
            encoder_only: bool = False,
            num_frames: int = 16,
            img_size: int = 224) -> dict[str, Tensor]:
    """Give a state dict the names and shapes of another family.

    Args:
        state_dict: Tensors by name, as :func:`read_checkpoint` returns them.
        source: Family they are of, one of :data:`NAMES`. By default told by the names.
        target: Family wanted.
        drop: Beginnings of names of tensors to leave out, such as ``'projector.'``.
        encoder_only: Whether to leave out decoder, projector and head.
        num_frames: Frames of a clip of a VideoMAE network, whose files lack the position table.
        img_size: Side of its frames in pixels.

    Returns:
        The converted tensors. Values are those of the source, bit for bit.

    Raises:
        ValueError: If a family is unknown, a tensor of the source has no place in the target
            or is none of the source's family, one of the family is missing, one network is for
            images and the other for clips, or nothing begins as ``drop`` says.
    """
    return convert_with_report(
        state_dict, source, target, drop=drop, encoder_only=encoder_only,
        num_frames=num_frames, img_size=img_size).state


def convert_with_report(state_dict: Mapping[str, Tensor],
                        source: str | None = None,
                        target: str = OURS,
                        *,
                        drop: Sequence[str] = (),
                        encoder_only: bool = False,
                        num_frames: int = 16,
                        img_size: int = 224) -> Conversion:
    """Convert and tell what became of each tensor, see :func:`convert`."""
    source = detect_family(state_dict) if source is None else source
    for name in (source, target):
        if name not in NAMES:
            raise ValueError(f'{name!r} is no family of checkpoints: {", ".join(NAMES)}.')
    result = Conversion(dict(state_dict), source, target)
    for beginning in drop:
        _drop(result, beginning)
    if source != OURS:
        unheld = _to_ours(result, FAMILIES[source], (num_frames, img_size))
        _leave_out(result, unheld, encoder_only, OURS)
    elif not any(key.startswith(f'{ENCODER}.layers.0.') for key in state_dict):
        raise ValueError(f'There is no encoder of {OURS} in it: it looks like '
                         f'{describe_family(state_dict)}.')
    if encoder_only:
        _remove(result, [key for key in result.state if not key.startswith(f'{ENCODER}.')])
    result.parts = Counter(key.partition('.')[0] for key in result.state)
    if target != OURS:
        unheld = _from_ours(result, FAMILIES[target])
        _leave_out(result, unheld, False, target)
    return result


def _to_ours(result: Conversion, family: Family, clip: tuple[int, int]) -> list[str]:
    """Rename and pack; return the names of known tensors that nothing here holds."""
    groups: dict[tuple[Rule, int], list[Tensor | None]] = {}
    unknown, unheld = [], []
    for key, tensor in result.state.items():
        rule, index, layer = _find(family, key)
        if rule is None:
            unknown.append(key)
        elif rule.ours is None:
            unheld.append(key)
        else:
            group = groups.setdefault((rule, layer), [None] * len(rule.theirs))
            if group[index] is not None:
                raise ValueError(f'{key} is there twice, with and without a prefix.')
            group[index] = tensor
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(result.state)} tensors are none of {result.source}'s: "
            f'{shorten(unknown)}. It looks like {describe_family(result.state)}.')
    _check_complete(family, groups, result.source)
    result.state = {}
    for (rule, layer), parts in groups.items():
        assert rule.ours is not None
        result.state[rule.ours.format(i=layer)] = pack(parts, rule.packing)
    zeros = [rule for rule in family.rules if None in rule.theirs]
    if zeros:
        result.added.append('biases of keys, which are zero in this family')
    _check_dims(result.state, family, result.source)
    if family.fixed_positions:
        result.state[_POSITIONS] = _fixed_positions(result.state[_PATCHES], *clip)
        result.added.append(
            f'{_POSITIONS}: the fixed sinusoid for {clip[0]} frames of {clip[1]} px')
    return unheld


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


def _check_complete(family: Family, groups: Mapping[tuple[Rule, int], list[Tensor | None]],
                    name: str) -> None:
    """Refuse a network of which a tensor is missing: of a part that is there, all must be."""
    depth: dict[str, int] = {}
    found = set()
    for (rule, layer), parts in groups.items():
        depth[rule.part] = max(depth.get(rule.part, 0), layer + 1)
        found |= {name.format(i=layer) for name, part in zip(rule.theirs, parts, strict=True)
                  if name is not None and part is not None}
    wanted = {
        theirs.format(i=layer): None
        for rule in family.rules if not rule.optional and rule.ours
        if rule.part in depth or rule.part == ENCODER
        for layer in range(depth.get(rule.part, 1) if rule.layered else 1)
        for theirs in rule.theirs if theirs is not None}
    missing = [key.removeprefix('@') for key in wanted if key not in found]
    if missing:
        raise ValueError(f"{len(missing)} of {name}'s tensors are missing: {shorten(missing)}.")


def _check_dims(ours: Mapping[str, Tensor], family: Family, name: str) -> None:
    kinds = {4: 'images', 5: 'clips'}
    dims = ours[_PATCHES].ndim if _PATCHES in ours else family.dims
    if dims != family.dims:
        advice = (' VideoViT takes weights of images as they are: it inflates them on loading.'
                  if dims == 4 else '')
        raise ValueError(
            f'{name} networks are for {kinds[family.dims]} (patch embeddings of {family.dims} '
            f'axes), but this one is for {kinds.get(dims, "neither")} ({dims} axes).{advice}')


def _drop(result: Conversion, beginning: str) -> None:
    names = [key for key in result.state if key.startswith(beginning)]
    if not names:
        raise ValueError(f'No tensor to drop has a name that begins with {beginning!r}.')
    _remove(result, names)


def _remove(result: Conversion, names: list[str]) -> None:
    for key in names:
        del result.state[key]
    result.left_out += names


def _leave_out(result: Conversion, unheld: list[str], allowed: bool, holder: str) -> None:
    if not unheld:
        return
    if not allowed:
        raise ValueError(
            f'{holder} has no place for {len(unheld)} of the tensors: {shorten(unheld)}. To leave '
            'some out, say which (--drop, drop=[...]), or keep nothing but the encoder '
            '(--encoder-only, encoder_only=True).')
    result.left_out += unheld


def _from_ours(result: Conversion, family: Family) -> list[str]:
    """Rename and unpack; return the names of tensors that the family has no place for."""
    _check_dims(result.state, family, result.target)
    ours, theirs, unheld = result.state, {}, []
    groups: dict[tuple[Rule, int], list[Tensor | None]] = {}
    if family.fixed_positions:
        ours = {key: value for key, value in ours.items() if key != _POSITIONS}
        _check_positions(result.state.get(_POSITIONS))
        result.left_out.append(f'{_POSITIONS} (the fixed sinusoid)')
    for key, tensor in ours.items():
        rule, layer = _find_ours(family.rules, key)
        if rule is None or any(name and name.format(i=layer) in theirs for name in rule.theirs):
            unheld.append(key)
            continue
        parts = unpack(tensor, rule.packing, len(rule.theirs))
        groups[rule, layer] = list(parts)
        for name, part in zip(rule.theirs, parts, strict=True):
            if name is None:
                if part.any():
                    result.left_out.append(f'{key} of the keys')
            else:
                theirs[name.format(i=layer)] = part
    if not unheld:
        _check_complete(family, groups, result.target)
    prefix = family.base_prefix if any(not name.startswith('@') for name in theirs) else ''
    result.state = {re.sub('^@', prefix, name): value for name, value in theirs.items()}
    return unheld


def _find_ours(table: Iterable[Rule], key: str) -> tuple[Rule | None, int]:
    for rule in table:
        layer = rule.match_ours(key)
        if layer is not None:
            return rule, layer
    return None, 0


def _fixed_positions(patches: Tensor, num_frames: int, img_size: int) -> Tensor:
    tubelet, side = patches.shape[2], patches.shape[3]
    if num_frames % tubelet or img_size % side:
        raise ValueError(
            f'{num_frames} frames of {img_size} px are no whole tubelets of {tubelet} frames and '
            f'{side} px: say with --num-frames and --img-size what the network was trained for.')
    positions = num_frames // tubelet * (img_size // side)**2
    return sinusoid_table(positions, patches.shape[0]).to(patches.dtype)


def _check_positions(table: Tensor | None) -> None:
    if table is None:
        return
    fixed = sinusoid_table(table.shape[1], table.shape[2]).to(table.dtype)
    if not table.equal(fixed):
        raise ValueError(
            f"{_POSITIONS} is not VideoMAE's fixed table, and its files have no place for one: "
            'this network can not be converted to that family.')
