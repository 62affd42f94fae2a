"""Names and shapes of one family made those of another."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from vicmae_mm.utils.errors import InputError

from .detect import describe_family, detect_family
from .families import CONVERTIBLE, OURS
from .fixed_positions import check_fixed, fixed_positions
from .names import shorten
from .translation import ENCODER, PATCHES, check_dims, from_ours, to_ours

NAMES = tuple(CONVERTIBLE)
_POSITIONS = f'{ENCODER}.pos_embed'


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
        state_dict: Tensors by name, as :func:`read_weights` returns them.
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
            raise InputError(f'{name!r} is no family of checkpoints: {", ".join(NAMES)}.')
    result = Conversion(dict(state_dict), source, target)
    for beginning in drop:
        _drop(result, beginning)
    if source != OURS:
        _make_ours(result, (num_frames, img_size), encoder_only)
    elif not any(key.startswith(f'{ENCODER}.layers.0.') for key in state_dict):
        raise InputError(f'There is no encoder of {OURS} in it: it looks like '
                         f'{describe_family(state_dict)}.')
    if encoder_only:
        _remove(result, [key for key in result.state if not key.startswith(f'{ENCODER}.')])
    result.parts = Counter(key.partition('.')[0] for key in result.state)
    if target != OURS:
        _make_theirs(result)
    return result


def _make_ours(result: Conversion, clip: tuple[int, int], encoder_only: bool) -> None:
    result.state, unheld = to_ours(result.state, result.source)
    if unheld and not encoder_only:
        raise _no_place(OURS, unheld)
    result.left_out += unheld
    if CONVERTIBLE[result.source].fixed_positions:
        result.state[_POSITIONS] = fixed_positions(result.state[PATCHES], *clip)
        result.added += [f'{_POSITIONS}, the fixed sinusoid for {clip[0]} frames of {clip[1]} px',
                         'zeros for the biases of keys']


def _make_theirs(result: Conversion) -> None:
    ours = dict(result.state)
    if CONVERTIBLE[result.target].fixed_positions and _POSITIONS in ours:
        check_dims(ours, result.target)
        check_fixed(ours.pop(_POSITIONS))
        result.left_out.append(f'{_POSITIONS} (the fixed sinusoid)')
    result.state, unheld, unseen = from_ours(ours, result.target)
    if unheld:
        raise _no_place(result.target, unheld)
    result.left_out += unseen


def _no_place(holder: str, unheld: list[str]) -> InputError:
    return InputError(
        f'{holder} has no place for {len(unheld)} of the tensors: {shorten(unheld)}. To leave '
        'some out, say which (--drop, drop=[...]), or keep nothing but the encoder '
        '(--encoder-only, encoder_only=True).')


def _drop(result: Conversion, beginning: str) -> None:
    names = [key for key in result.state if key.startswith(beginning)]
    if not names or not beginning:
        raise InputError(f'No tensor to drop has a name that begins with {beginning!r}.')
    _remove(result, names)


def _remove(result: Conversion, names: list[str]) -> None:
    for key in names:
        del result.state[key]
    result.left_out += names
