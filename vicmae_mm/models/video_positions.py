"""Position tables of clips: a spatial and a temporal one, or one for both."""
import torch
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor
from torch.nn import functional as F

Grid = tuple[int, int, int]  # time, height, width, in tokens


def resize_temporal(table: Tensor, length: int) -> Tensor:
    """Interpolate a temporal table (1, T, C) linearly to (1, length, C)."""
    if table.shape[1] == length:
        return table
    resized = F.interpolate(table.transpose(1, 2), size=length, mode='linear')
    return resized.transpose(1, 2)


def combine_tables(spatial: Tensor, temporal: Tensor, num_extra_tokens: int) -> Tensor:
    """Add a spatial and a temporal table.

    Args:
        spatial: (1, E + L, C), the rows of E extra tokens first.
        temporal: (1, T, C).
        num_extra_tokens: E. They have no place in time.

    Returns:
        (1, E + T * L, C), time first.
    """
    extra, patches = spatial[:, :num_extra_tokens], spatial[:, num_extra_tokens:]
    return torch.cat((extra, (temporal[:, :, None] + patches[:, None]).flatten(1, 2)), dim=1)


def resize_joint(table: Tensor, source: Grid, target: Grid, num_extra_tokens: int,
                 mode: str = 'bicubic') -> Tensor:
    """Interpolate a joint table, in space as mmpretrain does, then linearly in time.

    Args:
        table: (1, E + T * L, C), the rows of E extra tokens first, then time first.
        source: Grid of the table.
        target: Grid wanted.
        num_extra_tokens: E.
        mode: Of the interpolation in space.

    Returns:
        The table of the wanted grid.
    """
    if source == target:
        return table
    extra, clip = table[:, :num_extra_tokens], table[:, num_extra_tokens:]
    frames = clip.unflatten(1, (source[0], -1))[0].split(1)  # T of (1, L, C)
    space = torch.cat([resize_pos_embed(f, source[1:], target[1:], mode, 0) for f in frames])
    time = resize_temporal(space.flatten(1)[None], target[0])  # a row holds L * C numbers
    return torch.cat((extra, time.unflatten(2, (space.shape[1], -1)).flatten(1, 2)), dim=1)
