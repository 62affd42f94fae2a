"""Masking: the random numbers that choose the hidden patches, and patches cut out by index."""
import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor


def rand_rows(rows: int, *size: int, device: torch.device) -> Tensor:
    """Draw uniform random numbers for this process's rows of the global batch.

    With equal generators on all processes (``vicmae_mm.StepSeedHook`` and
    ``randomness.diff_rank_seed=False``) the numbers of a sample do not depend on the number of
    processes. With unequal generators they do. Also holds for stacked views, (V * N, ...).

    Args:
        rows: Rows of this process, the same on every process.
        size: Numbers per row.
        device: Where they are drawn.

    Returns:
        Shape (rows, *size), in [0, 1).
    """
    # Samplers (mmengine's and ours) deal samples out in turn: row n of process r of W is
    # sample n * W + r. So each process draws for the global batch and keeps every W-th row.
    world_size = get_world_size()
    return torch.rand(rows * world_size, *size, device=device)[get_rank()::world_size]


def take_patches(images: Tensor, ids: Tensor, patch_size: int) -> Tensor:
    """Cut selected patches out of images.

    Args:
        images: (B, C, H, W), H and W multiples of ``patch_size``.
        ids: (B, N), patch indices per image, row by row from 0.
        patch_size: Side p of a patch in pixels.

    Returns:
        (B, N, C, p, p), in the order of ``ids``.
    """
    # Indexing a view copies the selected patches only, not the whole batch cut into patches.
    columns = images.shape[3] // patch_size
    grid = images.unflatten(3, (-1, patch_size)).unflatten(2, (-1, patch_size))
    grid = grid.permute(0, 2, 4, 1, 3, 5)  # (B, rows, columns, C, p, p)
    image = torch.arange(len(images), device=images.device)[:, None]
    return grid[image, ids // columns, ids % columns]
