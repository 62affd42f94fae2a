"""All-gather that lets the gradient back through, exactly."""
from typing import Any

import torch
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from torch import Tensor

from vicmae_mm.utils.errors import InputError

# Shapes that every process is known to share, so that the check costs one tiny
# collective in the life of a process and nothing per step.
_AGREED_SHAPES: set[tuple[int, ...]] = set()


def gather_with_grad(x: Tensor) -> Tensor:
    """Concatenate ``x`` of all processes along the first dimension, in rank order.

    The backward sums the gradient of every process's loss over all processes
    and returns this process's rows: d(sum_r loss_r)/dx. Divided by the number
    of processes, which DistributedDataParallel does to the parameters' gradients,
    that is the gradient of the mean loss, as on one process with the whole batch.
    (mmpretrain's ``SimCLR.GatherLayer`` leaves the sum out, which scales the
    gradient by 1/processes; docs/decisions.md, row 13.)

    Args:
        x (Tensor): Shape (N, ...), the same on every process.

    Returns:
        Tensor: Shape (W*N, ...) for W processes; ``x`` itself on one process.

    Raises:
        ValueError: On every process, if their shapes differ.
    """
    if get_world_size() == 1:
        return x
    return _gather(x)


@torch.compiler.disable
def _gather(x: Tensor) -> Tensor:
    _check_equal_shapes(x)
    return _AllGather.apply(x)


class _AllGather(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.cat(all_gather(x.contiguous()))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone(memory_format=torch.contiguous_format)
        all_reduce(total, op='sum')
        return total.chunk(get_world_size())[get_rank()]


def _check_equal_shapes(x: Tensor) -> None:
    """Refuse unequal batches, once for each new shape.

    Processes with equal batches meet a new shape at the same call, so all of
    them take part; unequal ones would have exchanged garbage or hung anyway.
    """
    shape = tuple(x.shape)
    if shape in _AGREED_SHAPES:
        return
    rows = [int(n) for n in all_gather(torch.tensor([shape[0]], device=x.device))]
    if len(set(rows)) > 1:
        raise InputError(
            f'every process must bring the same number of rows, but processes 0..{len(rows) - 1} '
            f'brought {rows}. Give all processes one batch size and a sampler that pads or '
            "drops the last batch (mmengine's DefaultSampler does).")
    _AGREED_SHAPES.add(shape)
