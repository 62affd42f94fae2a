"""How many bytes a forward pass keeps for the backward pass."""
import weakref
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class SavedBytes:
    """Count what autograd keeps during ``with saved.hooks():``.

    A storage that several operations keep counts once, parameters not at all.

    Args:
        parameters: Of the model.

    Attributes:
        peak: The most that was kept at a time, in bytes. What checkpointing computes again in
            the backward pass counts from then on.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self._ignored = {_address(parameter) for parameter in parameters}
        self._users: Counter[int] = Counter()
        self._now = 0
        self.peak = 0

    def hooks(self) -> torch.autograd.graph.saved_tensors_hooks:
        """What to wrap a step in."""
        return torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack)

    def _pack(self, tensor: Tensor) -> '_Kept':
        kept, address = _Kept(tensor), _address(tensor)
        if address not in self._ignored:
            size = tensor.untyped_storage().nbytes()
            if not self._users[address]:
                self._now += size
                self.peak = max(self.peak, self._now)
            self._users[address] += 1
            weakref.finalize(kept, self._release, address, size)
        return kept

    def _release(self, address: int, size: int) -> None:
        self._users[address] -= 1
        if not self._users[address]:
            self._now -= size

    @staticmethod
    def _unpack(kept: '_Kept') -> Tensor:
        return kept.tensor


class _Kept:
    """Something that can be told when autograd lets go of it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor: Any = tensor


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
