"""VideoMAE's position table, which its files do not store."""
import torch
from torch import Tensor

from vicmae_mm.utils.errors import InputError


def sinusoid_table(positions: int, width: int) -> Tensor:
    """Position table (1, positions, width) of the Transformer (Vaswani et al., section 3.5).

    VideoMAE numbers the tokens of a clip consecutively, time first.
    """
    # In fp64, rounded once at the end: the authors' code computes its table in numpy.
    channels = torch.arange(width, dtype=torch.float64)
    rates = 10000**(2 * (channels // 2) / width)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] / rates
    return torch.where(channels % 2 == 0, angles.sin(), angles.cos())[None].float()


def fixed_positions(patches: Tensor, num_frames: int, img_size: int | tuple[int, int]) -> Tensor:
    """Make the table for clips of a size.

    ``patches`` is the weight (C, 3, t, p, p) of the patch embedding; ``num_frames`` is a multiple
    of t, ``img_size``, the side of frames in pixels or height and width, of p.
    """
    tubelet, side = patches.shape[2:4]
    height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
    if min(num_frames, height, width) < 1 or any(
            (num_frames % tubelet, height % side, width % side)):
        raise InputError(
            f'{num_frames} frames of {img_size} px cannot be divided into tubelets of {tubelet} '
            f'frames of {side} px: pass the size that the network was trained with (--frames, '
            '--size).')
    positions = num_frames // tubelet * (height // side) * (width // side)
    return sinusoid_table(positions, len(patches)).to(patches.dtype)


def check_fixed(table: Tensor) -> None:
    """Raise a ValueError unless a table (1, positions, C) is VideoMAE's."""
    if not table.equal(sinusoid_table(*table.shape[1:]).to(table.dtype)):
        raise InputError(
            "The position table is not VideoMAE's fixed one, and VideoMAE's files store no "
            'table: this network cannot be converted to that family.')
