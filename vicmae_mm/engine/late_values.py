"""Numbers of a training step, read from the device in one copy while the next step runs."""
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmengine.runner import Runner
from torch import Tensor


class StepNumbers:
    """Tensors of one element that a step leaves on its device.

    :meth:`send` copies them to the host without waiting, :meth:`read` waits for the copy. Between
    the two, the host launches the next step, so that the device always has work. As the attribute
    ``step_numbers`` of a message hub, it also takes the tensors that are logged.
    """

    def __init__(self) -> None:
        self.skipped: list[int] = []  # of numbers that, if not 0, say that the step was skipped
        self._tensors: list[Tensor] = []
        self._copies: list[tuple[list[int], Tensor]] = []
        self._numbers: dict[int, Any] = {}
        self._arrival: Any = None

    def add(self, number: Tensor) -> int:
        """Take a tensor; return its place in what :meth:`read` returns."""
        self._tensors.append(number.detach().reshape(()))
        return len(self._tensors) - 1

    def later(self, number: Tensor) -> Callable[[], Any]:
        """Take a tensor; return a function that reads it, or None if the step was skipped."""
        return partial(self._unless_skipped, self.add(number))

    def _unless_skipped(self, place: int) -> Any:
        numbers = self.read()
        return None if any(numbers[each] for each in self.skipped) else numbers[place]

    def send(self) -> None:
        """Start copying what was added since the last call."""
        groups: dict[Any, list[int]] = {}
        known = sum(len(places) for places, _ in self._copies) + len(self._numbers)
        for place, tensor in enumerate(self._tensors[known:], start=known):
            groups.setdefault((tensor.device, tensor.dtype), []).append(place)
        for places in groups.values():  # usually one
            values = torch.stack([self._tensors[place] for place in places])
            if values.is_cuda:
                values = values.to('cpu', non_blocking=True)  # pinned
                self._arrival = torch.cuda.Event()
            self._copies.append((places, values))
        if groups and self._arrival is not None:
            self._arrival.record()

    def read(self) -> dict[int, Any]:
        """All numbers, by place; waits for them."""
        self.send()
        if self._copies and self._arrival is not None:
            self._arrival.synchronize()
        for places, values in self._copies:
            self._numbers.update(zip(places, values.tolist(), strict=True))
        self._copies = []
        return self._numbers


def settle(runner: Runner) -> None:
    """Have the hooks judge all steps taken so far, such as whether the last loss was finite.

    Call it on every process, before what a step has left is saved or tested.

    Raises:
        RunError: A step must not have been taken, and has not been: the run stops.
    """
    for hook in runner.hooks:
        if hasattr(hook, 'settle'):
            hook.settle(runner)
