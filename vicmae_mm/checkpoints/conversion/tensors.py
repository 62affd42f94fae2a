"""Tensors that one family keeps whole and another in parts."""
from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import torch
from torch import Tensor


class Packing(Enum):
    """How parts make up a tensor."""

    ONE = 'the only part'
    STACKED = 'parts of equal size along the first axis'
    ROWS = 'one row of the class token, then those of the patches, along the second axis'


def pack(parts: Sequence[Tensor | None], packing: Packing) -> Tensor:
    """Make one tensor of its parts, bit for bit; None is zeros, as its neighbours are sized."""
    if packing is Packing.ONE:
        (whole, ) = parts
        assert whole is not None
        return whole
    like = next(part for part in parts if part is not None)
    there = [torch.zeros_like(like) if part is None else part for part in parts]
    return torch.cat(there, dim=0 if packing is Packing.STACKED else 1)


def unpack(whole: Tensor, packing: Packing, count: int) -> Sequence[Tensor]:
    """Take a tensor apart: what :func:`pack` joined, in memory of its own."""
    if packing is Packing.ONE:
        return [whole]
    if packing is Packing.STACKED:
        parts = whole.chunk(count, dim=0)
    else:
        parts = whole.split((1, whole.shape[1] - 1), dim=1)
    return [part.clone() for part in parts]
