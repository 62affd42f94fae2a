"""The fixed 2-D sine-cosine position table of encoder and decoder."""
import torch
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from torch import Tensor

from vicmae_mm.utils.errors import InputError


def check_patch_grid(img_size: int, patch_size: int) -> int:
    """Return the number of patches along one side of a square image.

    Raises:
        ValueError: If ``img_size`` is no multiple of ``patch_size`` or not an int.
    """
    if not isinstance(img_size, int):
        raise InputError(
            f'img_size={img_size!r} must be one int: ViC-MAE pre-trains on square images.')
    if img_size % patch_size:
        lower = img_size // patch_size * patch_size
        raise InputError(
            f'img_size={img_size} is not divisible by patch_size={patch_size}: '
            f'use {lower or patch_size} or {lower + patch_size}, for the model and for the crop '
            'of the pipeline.')
    return img_size // patch_size


def sincos_position_table(side: int, dims: int) -> Tensor:
    """Build the position table of MAE and of the authors' networks.

    mmpretrain's table holds the same numbers with its two channel halves
    swapped (rows first); columns come first here, as in published checkpoints.

    Args:
        side: Patches along one side of the square grid.
        dims: Channels, a multiple of 4.

    Returns:
        Table (1, 1 + side**2, dims); the class token's row is zero.
    """
    table = build_2d_sincos_position_embedding(side, dims, cls_token=True).float()
    rows, columns = table.chunk(2, dim=-1)
    return torch.cat((columns, rows), dim=-1)
