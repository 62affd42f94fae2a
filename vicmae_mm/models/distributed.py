"""All-gather with an exact gradient."""
from typing import Any

import torch
from mmengine.dist import all_gather, all_reduce, get_backend, get_rank, get_world_size
from torch import Tensor, distributed

from vicmae_mm.utils.errors import InputError

# Shapes known to be equal on all processes. Checking a new shape takes one tiny collective;
# further steps with the same shape cost nothing.
_AGREED_SHAPES: set[tuple[int, ...]] = set()


def gather_with_grad(x: Tensor) -> Tensor:
    """Concatenate ``x`` of all processes along the first dimension, in rank order.

    The gradient is d(sum_r loss_r)/dx, so that after DistributedDataParallel all gradients equal
    those of one process with the global batch (docs/decisions.md, row 13). Of ``x`` (N, ...), the
    result is (W * N, ...) for W processes. If N differs between them, all raise a ValueError.
    """
    return x if get_world_size() == 1 else _gather(x)


# Collectives, and a check that reads values on the host, stay outside of compiled graphs.
@torch.compiler.disable
def _gather(x: Tensor) -> Tensor:
    _check_equal_shapes(x)
    return _AllGather.apply(x)


class _AllGather(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        # Collectives need contiguous memory; a slice of a larger batch is not contiguous.
        return torch.cat(all_gather(x.contiguous()))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # The loss of every process depends on the rows of this one, so their gradients are added.
        # DistributedDataParallel then divides by W, which gives the gradient of the mean loss;
        # without the sum (mmpretrain's SimCLR.GatherLayer) it would be 1/W of that.
        if get_backend() == 'nccl':  # gloo has no reduce-scatter, or sends as much for it
            own = grad.new_empty(len(grad) // get_world_size(), *grad.shape[1:])
            distributed.reduce_scatter_tensor(own, grad.contiguous())
            return own
        # A clone, because all_reduce works in place and autograd may pass an expanded tensor.
        total = grad.clone(memory_format=torch.contiguous_format)
        all_reduce(total, op='sum')
        return total.chunk(get_world_size())[get_rank()]


def _check_equal_shapes(x: Tensor) -> None:
    """Refuse unequal batches, once per new shape."""
    shape = tuple(x.shape)
    if shape in _AGREED_SHAPES:
        return
    # Processes with equal batches see a new shape in the same call, so all of them join this
    # collective. With unequal batches the gather itself would hang or return garbage.
    rows = [int(n) for n in all_gather(torch.tensor([shape[0]], device=x.device))]
    if len(set(rows)) > 1:
        raise InputError(
            f'All processes must have the same number of rows, but processes 0..{len(rows) - 1} '
            f'have {rows}. Use the same batch size on all processes and a sampler that pads or '
            "drops the last batch (as mmengine's DefaultSampler does).")
    _AGREED_SHAPES.add(shape)
