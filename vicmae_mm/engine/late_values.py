"""Numbers of a training step, read from the device in one copy while the next step runs."""
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmengine.runner import Runner
from torch import Tensor


class StepNumbers:
    """Tensors of one element that a step leaves on its device.

    :meth:`send` starts their copy; the functions that read them wait for it. In between, the host
    launches the next step, so that the device always has work. As ``step_numbers`` of a message
    hub, it also takes the tensors that are logged.
    """

    def __init__(self) -> None:
        self.skipped: Callable[[], Any] = bool  # reads whether the step was skipped
        self._numbers: list[Any] = []
        self._new: dict[int, Tensor] = {}
        self._copies: list[tuple[list[int], Tensor]] = []
        self._arrival: Any = None

    def add(self, number: Tensor) -> Callable[[], Any]:
        """Take a tensor; return a function that reads it."""
        self._new[len(self._numbers)] = number.detach().reshape(())
        self._numbers.append(None)
        return partial(self._read, len(self._numbers) - 1)

    def later(self, number: Tensor) -> Callable[[], Any]:
        """As :meth:`add`; the function returns None if the step was skipped."""
        read = self.add(number)
        return lambda: None if self.skipped() else read()

    def send(self) -> None:
        """Start copying what was added since the last call."""
        kinds: dict[Any, list[int]] = {}
        for place, number in self._new.items():
            kinds.setdefault((number.device, number.dtype), []).append(place)
        for places in kinds.values():  # usually one kind
            copy = torch.stack([self._new[place] for place in places])
            if copy.is_cuda:
                copy = copy.to('cpu', non_blocking=True)  # pinned
                self._arrival = torch.cuda.Event()
                self._arrival.record()
            self._copies.append((places, copy))
        self._new = {}

    def _read(self, place: int) -> Any:
        self.send()
        if self._copies and self._arrival is not None:
            self._arrival.synchronize()
        for places, copy in self._copies:
            for each, number in zip(places, copy.tolist(), strict=True):
                self._numbers[each] = number
        self._copies = []
        return self._numbers[place]


def settle(runner: Runner) -> None:
    """Have the hooks judge all steps so far, such as whether the last loss was finite.

    To be called on every process, before what a step has left is saved or tested. A RunError if a
    step was not taken, and the run must stop.
    """
    for hook in runner.hooks:
        if hasattr(hook, 'settle'):
            hook.settle(runner)
