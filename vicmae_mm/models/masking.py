"""Masking: the random numbers that choose the hidden patches, and patches cut out by index."""
import math

import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor

AT_ONCE = 2**24  # numbers drawn in a call, 64 MiB; another value changes larger batches on a GPU


def rand_rows(rows: int, *size: int, device: torch.device) -> Tensor:
    """Draw uniform random numbers for this process's rows of the global batch.

    With equal generators on all processes (``vicmae_mm.StepSeedHook`` and
    ``randomness.diff_rank_seed=False``) the numbers of a sample do not depend on the number of
    processes. With unequal generators they do. Also holds for stacked views, (V * N, ...).

    Returned are numbers (rows, *size) in [0, 1); ``rows`` are the same on every process.
    """
    # Samplers (mmengine's and ours) deal samples out in turn: row n of process r of W is
    # sample n * W + r. So each process draws for the global batch and keeps every W-th row, of
    # one block of rows after the other; the blocks are the same for any W.
    rank, world_size = get_rank(), get_world_size()
    number, at_once = rows * world_size, max(1, AT_ONCE // math.prod(size))
    return torch.cat([  # copies, or the blocks would be kept
        torch.rand(min(at_once, number - start), *size, device=device)[
            (rank - start) % world_size::world_size].clone()
        for start in range(0, number, at_once)])


def invert_order(ids: Tensor) -> Tensor:
    """Where each index is in rows of permutations (B, L), as ``ids.argsort(dim=1)`` says."""
    places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    return torch.empty_like(ids).scatter_(1, ids, places)  # a copy costs less than a sort


def take_patches(images: Tensor, ids: Tensor, patch_size: int) -> Tensor:
    """Cut patches (B, N, C, p, p) out of images (B, C, H, W), H and W multiples of p.

    ``ids`` (B, N) are patch indices per image, row by row from 0; p is ``patch_size`` in pixels.
    """
    # Indexing a view copies the selected patches only, not the whole batch cut into patches.
    columns = images.shape[3] // patch_size
    grid = images.unflatten(3, (-1, patch_size)).unflatten(2, (-1, patch_size))
    grid = grid.permute(0, 2, 4, 1, 3, 5)  # (B, rows, columns, C, p, p)
    image = torch.arange(len(images), device=images.device)[:, None]
    return grid[image, ids // columns, ids % columns]
