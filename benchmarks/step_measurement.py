"""Speed and memory of the training steps of several models, side by side."""
import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from torch._dynamo.utils import counters

from .live_bytes import count_peak_bytes
from .step_timing import time_in_turns
from .training_step import TrainingStep, quiet_logs

MEMORY = {  # what is measured as memory
    'cuda': 'peak memory, MiB',
    'cpu': 'activations and gradients, MiB',
}
WARM_UP = 2  # further steps: after the first, memory is laid out as in all that follow
Result = TypeVar('Result')


@dataclass(frozen=True)
class StepCost:
    """What a step costs.

    Args:
        seconds: Of each step (rounds,).
        memory: The most that was allocated on the GPU for this model, in bytes.
    """

    seconds: np.ndarray
    memory: int | None


@dataclass(frozen=True)
class Compilation:
    """What compiling cost, over all models that are compiled.

    Args:
        seconds: Of their first steps.
        graphs: Compiled in the warm-up.
        breaks: Of graphs.
        later: Graphs that were compiled while steps were timed.
    """

    seconds: float
    graphs: int
    breaks: int
    later: int


def memory_of(cost: StepCost, cfg: Config, batch_size: int) -> int:
    """Bytes a step needs at a time: allocated on a GPU for this model, its parameters included.

    A CPU does not tell: there activations and gradients are counted.
    """
    return count_peak_bytes(cfg, batch_size) if cost.memory is None else cost.memory


@quiet_logs()
def measure_steps(device: torch.device, cfgs: Mapping[str, Config], batch_size: int, rounds: int,
                  clock: str = 'wall') -> tuple[dict[str, StepCost | None], Compilation]:
    """Measure several models' training steps in turns.

    Args:
        device: Where.
        cfgs: By name. See :class:`TrainingStep`.
        batch_size: Pairs a process.
        rounds: Steps of each that are timed, after the warm-up.
        clock: For a CPU, as in :func:`interleave`.

    Returns:
        The cost of each, None for one that had no room on the GPU; and what compiling cost.
    """
    torch._dynamo.reset()  # what it has learnt of another batch size would make sizes dynamic
    counters.clear()
    steps: dict[str, TrainingStep] = {}
    memory: dict[str, int | None] = {}
    compiling = 0.
    for name, cfg in cfgs.items():
        ready = or_none(partial(_warm_up, device, cfg, batch_size))
        if ready is not None:
            steps[name], memory[name], first_step = ready
            compiling += first_step * steps[name].compiled
    graphs = _graphs()
    seconds = or_none(partial(time_in_turns, steps, rounds, device, clock)) if steps else None
    compilation = Compilation(
        compiling, graphs, sum(counters['graph_break'].values()), _graphs() - graphs)
    costs = {name: StepCost(seconds[name], memory[name])
             if seconds is not None and name in steps else None for name in cfgs}
    return costs, compilation


def or_none(function: Callable[[], Result]) -> Result | None:
    """Call the function; None if the GPU has no room for it, and all it held is given back.

    Raises:
        torch.cuda.OutOfMemoryError: In one of several processes: the others would wait for it.
    """
    try:
        return function()
    except torch.cuda.OutOfMemoryError:
        if get_world_size() > 1:
            raise
    gc.collect()
    torch.cuda.empty_cache()
    return None


def _warm_up(device: torch.device, cfg: Config,
             batch_size: int) -> tuple[TrainingStep, int | None, float]:
    """A step that can be timed, its memory, and the seconds its first call took."""
    others = torch.cuda.memory_allocated(device) if device.type == 'cuda' else 0
    step = TrainingStep(cfg, batch_size, device)
    start = time.perf_counter()
    step()
    if device.type == 'cpu':
        return step, None, time.perf_counter() - start
    torch.cuda.synchronize(device)
    first = time.perf_counter() - start
    return step, peak_memory(step) - others, first


def peak_memory(step: TrainingStep) -> int:
    """Bytes that are allocated on the GPU during a step, at the peak."""
    torch.cuda.reset_peak_memory_stats(step.device)
    for _ in range(WARM_UP):
        step()
    return torch.cuda.max_memory_allocated(step.device)


def _graphs() -> int:
    return counters['stats']['unique_graphs']
