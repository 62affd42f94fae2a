"""No step of an optimizer on gradients that are NaN or infinite."""
from typing import Any

import torch
from mmengine.dist import all_reduce
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer


class GradientGuard:
    """Keep an optimizer from stepping on a gradient whose norm is NaN or infinite.

    Gradients are checked as the optimizer gets them: accumulated, averaged over the processes,
    clipped. All processes decide the same. Parameters and the optimizer's state stay as they were.

    Args:
        optimizer: Any optimizer of torch; gradients of an enabled ``GradScaler`` need no guard.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._parameters: list[Tensor] = []
        self._norms = self._tripped = torch.zeros(1)
        self._hooks = [optimizer.register_step_pre_hook(self._before),
                       optimizer.register_step_post_hook(self._after)]

    def remove(self) -> None:
        """Let the optimizer step on anything again."""
        for hook in self._hooks:
            hook.remove()

    def pop_broken(self) -> list[int] | None:
        """Ids of the parameters whose gradients stopped the last step; None if nothing did.

        The list is empty if only other processes have such gradients.
        """
        tripped, self._tripped = self._tripped, torch.zeros(1)
        if not tripped:
            return None
        broken = (~self._norms.isfinite()).tolist()
        return [id(parameter) for parameter, is_broken in zip(
            self._parameters, broken, strict=False) if is_broken]

    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._parameters = [parameter for group in optimizer.param_groups
                            for parameter in group['params'] if parameter.grad is not None]
        self._norms = _norms([parameter.grad for parameter in self._parameters])
        self._tripped = (~self._norms.isfinite().all()).float()
        all_reduce(self._tripped, 'max')
        if _skips_by_flag(optimizer):
            # Read on the device: the host goes on without waiting for the gradients.
            vars(optimizer)['found_inf'] = self._tripped
        elif self._tripped:
            for parameter in self._parameters:
                parameter.grad = None  # every optimizer leaves such a parameter alone

    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        vars(optimizer).pop('found_inf', None)


def _norms(grads: list[Any]) -> Tensor:
    """The norm of each gradient, in one pass over all of them."""
    if not grads:
        return torch.zeros(1)
    # In float16, sums of squares would overflow. Only rows of a sparse gradient have values.
    dense = [grad.coalesce().values() if grad.is_sparse else grad for grad in grads]
    norms = torch._foreach_norm([
        grad if grad.dtype in (torch.float32, torch.float64) else grad.float() for grad in dense])
    return torch.stack([norm.to(norms[0]) for norm in norms])


def _skips_by_flag(optimizer: Optimizer) -> bool:
    # torch's fused SGD understands the flag, too, but keeps uninitialised memory as its momentum
    # if the first step is skipped.
    return isinstance(optimizer, (Adam, AdamW)) and all(
        group.get('fused') for group in optimizer.param_groups)
