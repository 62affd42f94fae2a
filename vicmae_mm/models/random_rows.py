"""Random numbers for the rows of a batch that is spread over processes."""
import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor


def rand_rows(rows: int, *size: int, device: torch.device) -> Tensor:
    """Draw uniform numbers for this process's rows, as one process would for the whole batch.

    Every process draws for all, and keeps its own: row n of process r of W is row n * W + r of
    the whole batch, which is how mmengine's and our samplers deal out the samples. Views stacked
    one after the other, (V * N, ...), follow the same rule.

    With equal generators on all processes (``vicmae_mm.StepSeedHook`` and
    ``randomness.diff_rank_seed=False``) a sample's numbers don't depend on the number of
    processes. With unequal ones they are as random, but depend on it.

    Args:
        rows: Rows of this process, the same on every process.
        size: Numbers a row.
        device: Where they are drawn.

    Returns:
        Shape (rows, *size), in [0, 1).
    """
    return torch.rand(rows * get_world_size(), *size, device=device)[get_rank()::get_world_size()]
