"""Timing steps on a CPU or a GPU, several kinds in turns."""
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch

from .measuring import interleave


def time_in_turns(steps: Mapping[str, Callable[[], object]], rounds: int, device: torch.device,
                  clock: str = 'wall') -> dict[str, np.ndarray]:
    """Time kinds of steps one after the other, in a random order each round.

    Args:
        steps: What is timed.
        rounds: How often.
        device: Where the steps compute. On a GPU events in its queue take the time, so that it
            need not wait for Python between two steps, as it need not in training.
        clock: For a CPU, as in :func:`interleave`.

    Returns:
        Seconds (rounds,) for each kind.
    """
    if device.type == 'cpu':
        # measures from the second call of a kind on
        return interleave({name: partial(_call, step) for name, step in steps.items()}, [None],
                          rounds, clock)
    order, events = np.random.default_rng(0), []
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name in order.permutation(list(steps)):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            steps[name]()
            end.record()
            events.append((name, start, end))
    torch.cuda.synchronize(device)
    return {kind: np.array([start.elapsed_time(end) / 1000
                            for name, start, end in events if name == kind]) for kind in steps}


def _call(step: Callable[[], object], _: object) -> object:
    return step()
