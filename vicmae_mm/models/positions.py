"""Position tables: the fixed sine-cosine one of images, and how tables of clips are resized."""
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from mmpretrain.models.utils import build_2d_sincos_position_embedding, resize_pos_embed
from torch import Tensor
from torch.nn import functional as F

from vicmae_mm.utils.errors import InputError

Grid = tuple[int, int, int]  # time, height, width, in tokens


def check_patch_grid(img_size: Any, patch_size: int) -> tuple[int, int]:
    """Return the rows and columns of patches of an image.

    A size that is not an int or a pair (height, width) of ints, or not a multiple of
    ``patch_size``, raises a ValueError.
    """
    sides = img_size if isinstance(img_size, Sequence) else (img_size, ) * 2
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise InputError(
            f'img_size={img_size!r} must be an int, for square images, or (height, width).')
    for side in sides:
        if side % patch_size:
            lower = side // patch_size * patch_size
            raise InputError(
                f'img_size={img_size} is not divisible by patch_size={patch_size}: '
                f'use {lower or patch_size} or {lower + patch_size}, for both the model and the '
                f'crop in the pipeline, in place of {side}.')
    return sides[0] // patch_size, sides[1] // patch_size


def sincos_position_table(grid: Sequence[int], dims: int) -> Tensor:
    """Build the position table of MAE and of the authors' networks.

    Of a grid of (rows, columns) of patches it is (1, 1 + rows * columns, dims), row by row, with
    ``dims`` a multiple of 4. The class token's row is zero.
    """
    # mmpretrain encodes rows in the first half of the channels, published checkpoints columns. It
    # takes the number of columns first, or lists the patches column by column.
    table = build_2d_sincos_position_embedding(grid[::-1], dims, cls_token=True).float()
    rows, columns = table.chunk(2, dim=-1)
    return torch.cat((columns, rows), dim=-1)


def check_table(table: Tensor, grid: tuple[int, int], name: str = 'It', extra: int = 1,
                is_ours: bool = False) -> None:
    """Refuse the table (1, extra + L, C) of a grid that its length does not tell from ``grid``.

    It is resized as that of a square, unless it is as long as that of ``grid``; our own files with
    such a table are taken to be of this grid. ``name`` is the file's.
    """
    if min(grid) < 1:
        raise InputError(f'A grid of {grid[0]} x {grid[1]} patches should have 1 or more a side.')
    length = table.shape[1] - extra
    grids = [(rows, length // rows) for rows in range(1, length + 1) if length % rows == 0]
    known: list[tuple[int, int]] = []
    with suppress(RuntimeError):  # in the check before training, there are no values
        known = [each for each in grids if table.shape[2] % 4 == 0 and torch.allclose(
            table[0, extra:].float(), sincos_position_table(each, table.shape[2])[0, 1:],
            atol=0.01)]
    square = [each for each in grids if each[0] == each[1]]
    fits = [grid] if grid in grids else square
    theirs = known or (square if grid in grids and not is_ours else fits)
    if theirs and theirs != fits:
        raise InputError(f'{name} has the positions of {theirs[0][0]} x {theirs[0][1]} patches, '
                         f'but the model has {grid[0]} x {grid[1]}: set image_size to its size.')


def resize_table(table: Tensor, grid: tuple[int, int], antialias: bool) -> Tensor:
    """Interpolate the table (1, 1 + L, C) of a square image to another grid (bicubic).

    With ``antialias`` as timm does, else as DINOv2's authors do. A ValueError for other tables.
    """
    side, patches = math.isqrt(table.shape[1] - 1), table.shape[1] - 1
    if patches == grid[0] * grid[1]:
        return table
    if side**2 != patches:
        raise InputError(f'Its position table has {patches + 1} rows, which are not those of a '
                         'class token and a square image.')
    image = table[:, 1:].float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
    # Their factors are those of a grid that is a tenth of a patch larger.
    size: dict[str, Any] = dict(size=grid) if antialias else dict(
        scale_factor=tuple((length + 0.1) / side for length in grid))
    image = F.interpolate(image, mode='bicubic', antialias=antialias, **size)
    return torch.cat((table[:, :1], image.flatten(2).transpose(1, 2).to(table.dtype)), dim=1)


def resize_temporal(table: Tensor, length: int) -> Tensor:
    """Interpolate a temporal table (1, T, C) linearly to (1, length, C)."""
    if table.shape[1] == length:
        return table
    resized = F.interpolate(table.transpose(1, 2), size=length, mode='linear')
    return resized.transpose(1, 2)


def combine_tables(spatial: Tensor, temporal: Tensor, num_extra_tokens: int) -> Tensor:
    """Add a spatial table (1, E + L, C) and a temporal one (1, T, C).

    The joint table (1, E + T * L, C) has the E extra tokens, which get no time, then is time-major.
    """
    extra, patches = spatial[:, :num_extra_tokens], spatial[:, num_extra_tokens:]
    return torch.cat((extra, (temporal[:, :, None] + patches[:, None]).flatten(1, 2)), dim=1)


def resize_joint(table: Tensor, source: Grid, target: Grid, num_extra_tokens: int,
                 mode: str = 'bicubic') -> Tensor:
    """Interpolate a table of :func:`combine_tables` from one grid to another.

    In space by ``mode``, as mmpretrain does, then in time, which is always linear.
    """
    if source == target:
        return table
    extra, clip = table[:, :num_extra_tokens], table[:, num_extra_tokens:]
    frames = clip.unflatten(1, (source[0], -1))[0].split(1)  # T of (1, L, C)
    space = torch.cat([resize_pos_embed(f, source[1:], target[1:], mode, 0) for f in frames])
    # To resize in time, all positions of a frame become channels of one row (L * C numbers).
    time = resize_temporal(space.flatten(1)[None], target[0])
    return torch.cat((extra, time.unflatten(2, (space.shape[1], -1)).flatten(1, 2)), dim=1)
