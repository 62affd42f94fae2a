"""Training and evaluation mode of modules."""
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Set evaluation mode, then restore the mode of every module."""
    # Per module, because a frozen part may be in evaluation mode while the rest trains.
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def evaluated_outputs(backbone: nn.Module, batch: Tensor) -> list[Tensor]:
    """All features that a backbone returns in evaluation mode, with the same masks every time.

    Modes, buffers and random generators are left as they were.
    """
    with evaluating(backbone), torch.random.fork_rng([batch.device] if batch.is_cuda else []):
        torch.manual_seed(0)
        # Not the module itself, which may be compiled, or watched by hooks.
        outputs = tree_flatten(backbone.forward(batch))[0]
    return [each for each in outputs if isinstance(each, Tensor) and each.is_floating_point()]
