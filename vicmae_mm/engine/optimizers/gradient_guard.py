"""No step of an optimizer on gradients that are NaN or infinite."""
import math
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer


class GuardedStep(NamedTuple):
    """What was found before a step; tensors are on the device."""

    parameters: list[Tensor]
    norms: Tensor  # of their gradients
    verdict: Tensor  # on all processes: 2 if a loss is not finite, 1 if a gradient is not, else 0
    held: Tensor  # 1 if the step was not taken, else 0

    def broken(self) -> list[int]:
        """Ids of this process's parameters whose gradients are not finite."""
        finite = self.norms.isfinite().tolist()
        return [id(parameter) for parameter, is_finite in zip(
            self.parameters, finite, strict=False) if not is_finite]


class GradientGuard:
    """Keep an optimizer from stepping on a gradient whose norm is NaN or infinite.

    Gradients are checked as the optimizer gets them: accumulated, averaged over the processes,
    clipped. All processes decide the same. Parameters and the optimizer's state stay as they were.

    Args:
        optimizer: Any optimizer of torch; gradients of an enabled ``GradScaler`` need no guard.
        allowed: Number of such steps that may be followed by another step. The host, which reads
            about them later, has to stop after the next one.
    """

    def __init__(self, optimizer: Optimizer, allowed: float = math.inf) -> None:
        self.finite_loss: Tensor | None = None  # of this process
        self._allowed, self._held = allowed, torch.zeros(())
        self._last: GuardedStep | None = None
        self._hooks = [
            optimizer.register_step_pre_hook(self._before), optimizer.register_step_post_hook(
                lambda each, args, kwargs: vars(each).pop('found_inf', None))]

    def remove(self) -> None:
        """Let the optimizer step on anything again."""
        for hook in self._hooks:
            hook.remove()

    def pop(self) -> GuardedStep | None:
        """What was found before the last step; None if there was none since the last call."""
        last, self._last = self._last, None
        return last

    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        parameters = [parameter for group in optimizer.param_groups
                      for parameter in group['params'] if parameter.grad is not None]
        norms = _norms([parameter.grad for parameter in parameters])
        verdict = (~norms.isfinite().all()).float()
        if self.finite_loss is not None:
            verdict = torch.where(self.finite_loss, verdict, 2.)
            self.finite_loss = None
        all_reduce(verdict, 'max')
        count = self._held.to(verdict, non_blocking=True)
        held = ((verdict > 0) | (count > self._allowed)).float()
        self._held = count + held
        self._last = GuardedStep(parameters, norms, verdict, held)
        if skips_by_flag(optimizer):
            # Read on the device: the host goes on without waiting for the gradients.
            vars(optimizer)['found_inf'] = held
        elif held:
            for parameter in parameters:
                parameter.grad = None  # every optimizer leaves such a parameter alone


def _norms(grads: list[Any]) -> Tensor:
    """The norm of each gradient, in one pass over all of them."""
    if not grads:
        return torch.zeros(1)
    # In float16, sums of squares would overflow. Only rows of a sparse gradient have values.
    dense = [grad.coalesce().values() if grad.is_sparse else grad for grad in grads]
    norms = torch._foreach_norm([
        grad if grad.dtype in (torch.float32, torch.float64) else grad.float() for grad in dense])
    return torch.stack([norm.to(norms[0]) for norm in norms])


def skips_by_flag(optimizer: Optimizer) -> bool:
    """Whether a step is skipped on the device, without the host."""
    # torch's fused SGD understands the flag, too, but keeps uninitialised memory as its momentum
    # if the first step is skipped.
    return isinstance(optimizer, (Adam, AdamW)) and all(
        group.get('fused') for group in optimizer.param_groups)
