"""How many bytes a computation holds at a time, counted from the tensors it makes."""
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.utils import digit_version
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from .training_step import TrainingStep, without_hooks


class LiveBytes(TorchDispatchMode):
    """Count the bytes of tensors made within the ``with`` block, while they live.

    What an operation needs inside itself, and what was there before, is not in it.

    Args:
        uncounted: Further tensors that were there before.

    Attributes:
        peak: The most at a time.

    Raises:
        ImportError: With torch before 2.4.
    """

    def __init__(self, uncounted: Iterable[Tensor] = ()) -> None:
        if digit_version(torch.__version__) < digit_version('2.4.0'):
            raise ImportError(f'torch {torch.__version__} does not tell when memory is given back: '
                              'counting bytes, as is done on a CPU, needs torch 2.4 or later.')
        super().__init__()
        self.peak = 0
        self._now = 0
        self._uncounted = [*uncounted]  # kept, lest another storage gets the number of one
        self._known = {_number(tensor) for tensor in self._uncounted}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        """Do the operation, and count what it returns unless it is a view or was there before."""
        before = {_number(tensor) for tensor in _tensors((args, kwargs))}
        made = func(*args, **(kwargs or {}))
        for tensor in _tensors(made):
            if _number(tensor) not in before | self._known:
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        number, size = storage._cdata, storage.nbytes()
        self._known.add(number)
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._release, number, size)

    def _release(self, number: int, size: int) -> None:
        self._known.remove(number)
        self._now -= size


def count_peak_bytes(cfg: Config, batch_size: int) -> int:
    """Activations and gradients at their peak, on tensors that hold no numbers.

    Without parameters and the optimizer's state, and in the precision of a CPU.

    Args:
        cfg: See :class:`TrainingStep`.
        batch_size: Pairs.
    """
    step = TrainingStep(without_hooks(cfg), 2, torch.device('cpu'))
    with numberless(step.bare_model) as live:
        step.set_batch_size(batch_size)
        step.forward_backward()
    return live.peak


@contextmanager
def numberless(model: nn.Module) -> Iterator[LiveBytes]:
    """Let all tensors hold no numbers, those of a model too, and count the bytes of the others."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        with LiveBytes(map(mode.from_tensor, [*model.parameters(), *model.buffers()])) as live:
            yield live


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor)]


def _number(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
