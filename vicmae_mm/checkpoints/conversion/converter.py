"""Convert a state dict from one family to another."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from vicmae_mm.utils.errors import InputError

from .detect import choose_network, describe_family, find_networks
from .families import CONVERTIBLE, OURS
from .fixed_positions import check_fixed, fixed_positions
from .names import shorten
from .translation import ENCODER, PATCHES, check_dims, from_ours, to_ours

NAMES = tuple(CONVERTIBLE)
_POSITIONS = f'{ENCODER}.pos_embed'


@dataclass
class Conversion:
    """A converted state dict and a report of what became of each tensor."""

    state: dict[str, Tensor]
    source: str  # family before
    target: str  # family after
    left_out: list[str] = field(default_factory=list)  # names of source tensors
    parts: Counter[str] = field(default_factory=Counter)  # tensors per module of our models
    added: list[str] = field(default_factory=list)  # what the source does not have, in words


def convert(state_dict: Mapping[str, Tensor], source: str | None = None, target: str = OURS,
            **options: Any) -> dict[str, Tensor]:
    """Convert as :func:`convert_with_report`, with its arguments; return only the tensors."""
    return convert_with_report(state_dict, source, target, **options).state


def convert_with_report(
        state_dict: Mapping[str, Tensor], source: str | None = None, target: str = OURS, *,
        drop: Sequence[str] = (), encoder_only: bool = False, leave_out: bool = False,
        num_frames: int = 16, img_size: int | tuple[int, int] = 224,
        grid: tuple[int, int] | None = None) -> Conversion:
    """Give a state dict the names and shapes of another family.

    Args:
        state_dict: Tensors by name, as :func:`read_weights` returns them.
        source: Family of the tensors, one of :data:`NAMES`; inferred from their names by default.
        target: Family to convert to.
        drop: Prefixes of the names of tensors to leave out, such as ``'projector.'``.
        encoder_only: Whether to leave out decoder, projector and head.
        leave_out: Whether to leave out what has no place, instead of refusing it.
        num_frames: Frames per clip of a VideoMAE network, whose files lack the position table.
        img_size: Side of its frames in pixels, or height and width.
        grid: Rows and columns of patches of the network that will load the tensors. A position
            table is resized to it where the source's code does not do that as mmpretrain does.

    Returns:
        The converted tensors, bit for bit those of the source, and what became of each.

    Raises:
        ValueError: If a family is unknown, a tensor of the source has no place in the target
            or does not belong to the source's family, a tensor is missing, one network is for
            images and the other for clips, or ``drop`` matches nothing.
    """
    for name in (source or OURS, target):
        if name not in NAMES:
            raise InputError(f'{name!r} is not a family of checkpoints: choose from '
                             f'{", ".join(NAMES)}.')
    result = Conversion(dict(state_dict), source or '', target)
    for prefix in drop:
        names = [key for key in result.state if prefix and key.startswith(prefix)]
        if not names:
            raise InputError(f'No tensor to drop has a name that begins with {prefix!r}.')
        _remove(result, names)
    source = _unwrap(result, encoder_only or leave_out)
    # Families are converted by way of ours: n tables instead of one for each of n x n directions.
    if source != OURS:
        _convert_to_ours(result, (num_frames, img_size), encoder_only or leave_out)
    elif not any(key.startswith(f'{ENCODER}.layers.0.') for key in result.state):
        raise InputError(f'There is no encoder of {OURS} in it: it looks like '
                         f'{describe_family(result.state)}.')
    if grid and _POSITIONS in result.state and CONVERTIBLE[source].dims == 4:
        _fit_grid(result, grid)
    if encoder_only:
        _remove(result, [key for key in result.state if not key.startswith(f'{ENCODER}.')])
    result.parts = Counter(key.partition('.')[0] for key in result.state)
    if target != OURS:
        _convert_from_ours(result)
    return result


def _unwrap(result: Conversion, leave_out: bool) -> str:
    """Take the network out of what wraps it, and return its family."""
    prefix, family = '', result.source
    networks = find_networks(result.state)
    if not family or family in [network.name for network in networks.values()]:
        prefix, found = choose_network(result.state)
        family = family or found
    others = [key for key in result.state if not key.startswith(prefix)]
    if others and not leave_out:
        raise _no_place(family, others)
    _remove(result, others)
    result.state = {key.removeprefix(prefix): value for key, value in result.state.items()}
    result.source = family
    return family


def _convert_to_ours(result: Conversion, clip: tuple[int, int | tuple[int, int]],
                     leave_out: bool) -> None:
    result.state, unplaced = to_ours(result.state, result.source)
    if unplaced and not leave_out:
        raise _no_place(OURS, unplaced)
    result.left_out += unplaced
    if CONVERTIBLE[result.source].fixed_positions:
        result.state[_POSITIONS] = fixed_positions(result.state[PATCHES], *clip)
        result.added += [f'{_POSITIONS}, the fixed sinusoid for {clip[0]} frames of {clip[1]} px',
                         'zeros for the key biases']


def _fit_grid(result: Conversion, grid: tuple[int, int]) -> None:
    from vicmae_mm.models.positions import check_table, resize_table  # seconds, for all models
    table, resizing = result.state[_POSITIONS], CONVERTIBLE[result.source].resizing
    check_table(table, grid)
    antialias = resizing == 'timm' or f'{ENCODER}.register_tokens' in result.state
    if antialias or resizing:
        result.state[_POSITIONS] = resize_table(table, grid, antialias)


def _convert_from_ours(result: Conversion) -> None:
    ours = dict(result.state)
    if CONVERTIBLE[result.target].fixed_positions and _POSITIONS in ours:
        # Before the table, which always differs for a network for images.
        check_dims(ours, result.target)
        check_fixed(ours.pop(_POSITIONS))
        result.left_out.append(f'{_POSITIONS} (the fixed sinusoid)')
    result.state, unplaced, key_biases = from_ours(ours, result.target)
    if unplaced:
        raise _no_place(result.target, unplaced)
    result.left_out += key_biases


def _no_place(target: str, unplaced: list[str]) -> InputError:
    encoder = [key for key in unplaced if key.startswith(f'{ENCODER}.')]
    able = [name for name, family in CONVERTIBLE.items() if encoder and all(
        any(rule.match_ours(key) is not None for rule in family.rules) for key in encoder)]
    return InputError(f'{target} has no place for {len(unplaced)} of the tensors: '
                      f'{shorten(unplaced)}. ' + (
                          f'A whole encoder fits into: {", ".join(able)}.' if able else
                          'Name those to leave out (--drop, drop=[...]), or keep only the encoder '
                          '(--encoder-only, encoder_only=True).'))


def _remove(result: Conversion, names: list[str]) -> None:
    for key in names:
        del result.state[key]
    result.left_out += names
