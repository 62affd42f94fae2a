"""Patches of images, cut out by their numbers."""
import torch
from torch import Tensor


def take_patches(images: Tensor, ids: Tensor, patch_size: int) -> Tensor:
    """Cut chosen patches out of images, reading no others.

    Args:
        images: (B, C, H, W), H and W multiples of ``patch_size``.
        ids: (B, N), numbers of each image's patches, row by row from 0.
        patch_size: p, the side of a patch in pixels.

    Returns:
        (B, N, C, p, p), in the order of ``ids``.
    """
    columns = images.shape[3] // patch_size
    grid = images.unflatten(3, (-1, patch_size)).unflatten(2, (-1, patch_size))
    grid = grid.permute(0, 2, 4, 1, 3, 5)  # (B, rows, columns, C, p, p), a view
    image = torch.arange(len(images), device=images.device)[:, None]
    return grid[image, ids // columns, ids % columns]
