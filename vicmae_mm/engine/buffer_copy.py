"""Undoing what a step has done to the buffers of a model, such as BatchNorm's statistics."""
from typing import Any

import torch
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors


class BufferCopy:
    """A copy of all dense buffers, in one tensor per device and type."""

    def __init__(self, model: nn.Module) -> None:
        # By name, because a module may replace a buffer.
        self._places = [(module._buffers, name)
                        for module in model.modules() for name in module._buffers]
        self._copies: dict[Any, Tensor] = {}

    def take(self) -> None:
        # A clone, because a single buffer is its own flat tensor.
        self._copies = {kind: _flatten_dense_tensors(buffers).clone()
                        for kind, buffers in self._by_kind().items()}

    def restore(self, held: Tensor) -> None:
        """Write the copies back if ``held``, a scalar on the device, is not 0."""
        for kind, buffers in self._by_kind().items():
            values = torch.where(
                held.to(kind[0]) > 0, self._copies[kind], _flatten_dense_tensors(buffers))
            torch._foreach_copy_(buffers, _unflatten_dense_tensors(values, buffers))

    def _by_kind(self) -> dict[tuple[torch.device, torch.dtype], list[Tensor]]:
        """The buffers that a step may write to: not those expanded from fewer elements."""
        kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for buffers, name in self._places:
            buffer = buffers.get(name)
            if buffer is not None and not buffer.is_sparse and 0 not in buffer.stride():
                kinds.setdefault((buffer.device, buffer.dtype), []).append(buffer.detach())
        return kinds
