"""VideoMAE's table of positions, which no file stores."""
import torch
from torch import Tensor

from vicmae_mm.utils.errors import InputError


def sinusoid_table(positions: int, width: int) -> Tensor:
    """Position table (1, positions, width) of the Transformer (Vaswani et al., section 3.5).

    VideoMAE numbers the tokens of a clip through, time first.
    """
    channels = torch.arange(width, dtype=torch.float64)
    rates = 10000**(2 * (channels // 2) / width)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] / rates
    return torch.where(channels % 2 == 0, angles.sin(), angles.cos())[None].float()


def fixed_positions(patches: Tensor, num_frames: int, img_size: int) -> Tensor:
    """Make the table for clips of a size.

    Args:
        patches: Weight (C, 3, t, p, p) of the patch embedding.
        num_frames: Frames of a clip, a multiple of t.
        img_size: Side of its frames in pixels, a multiple of p.

    Raises:
        ValueError: If the clip is not made of whole tubelets.
    """
    tubelet, side = patches.shape[2:4]
    if num_frames % tubelet or img_size % side:
        raise InputError(
            f'{num_frames} frames of {img_size} px are no whole tubelets of {tubelet} frames and '
            f'{side} px: say with --num-frames and --img-size what the network was trained for.')
    positions = num_frames // tubelet * (img_size // side)**2
    return sinusoid_table(positions, len(patches)).to(patches.dtype)


def check_fixed(table: Tensor) -> None:
    """Refuse a table (1, positions, C) that a network of VideoMAE would not have.

    Raises:
        ValueError: If it is another.
    """
    if not table.equal(sinusoid_table(*table.shape[1:]).to(table.dtype)):
        raise InputError(
            "The position table is not VideoMAE's fixed one, and its files have no place for "
            'another: this network can not be converted to that family.')
