"""Speed and memory of the training steps of several models, in one process or a group of them."""
import gc
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from torch import distributed, multiprocessing
from torch._dynamo.utils import counters
from torch.multiprocessing.spawn import ProcessRaisedException

from vicmae_mm.engine.optimizers.bf16_optim_wrapper import has_bf16
from vicmae_mm.utils.processes.pool import num_cores

from .output import quiet_logs
from .timing import CPU, Clock, interleave, median_seconds
from .training_step import TrainingStep, fake_tensors, without_hooks

MEMORY = {'cuda': 'peak memory, MiB', 'cpu': 'activations and gradients, MiB'}
MATRIX_SIZES = {'cuda': (4096, 8192, 16384), 'cpu': (512, 1024, 2048)}


@dataclass(frozen=True)
class Peak:
    """The fastest of several square matrix products."""
    flops: float  # per second; a multiply-add is two
    size: int  # side of the matrices
    dtype: torch.dtype

    def __str__(self) -> str:
        return (f'{self.flops / 1e12:.4g} TFLOP/s ({self.size} x {self.size} x {self.size}, '
                f'{str(self.dtype).removeprefix("torch.")})')


def measure_peak(device: torch.device, clock: Clock, rounds: int = 10) -> Peak:
    """Multiply large matrices, in bfloat16 on a GPU that supports it, else in float32."""
    dtype = torch.bfloat16 if has_bf16(device) else torch.float32
    peaks = []
    for size in MATRIX_SIZES[device.type]:
        # random: with zeros, a GPU draws less power and clocks higher
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        seconds, = median_seconds([partial(torch.matmul, a, b)], clock, rounds)
        peaks.append(Peak(2 * size**3 / seconds, size, dtype))
    return max(peaks, key=lambda peak: peak.flops)


@dataclass(frozen=True)
class StepCost:
    """What the steps of a model cost."""
    seconds: np.ndarray  # (rounds,)
    memory: int | None  # peak bytes allocated on the GPU for this model


@dataclass(frozen=True)
class Compilation:
    """What compiling cost, over all models that are compiled."""
    seconds: float  # of their first steps
    graphs: int  # compiled during the warm-up
    breaks: int  # graph breaks
    later: int  # graphs compiled while steps were timed

    def __str__(self) -> str:
        return (f'{self.seconds:.1f} s for the first steps, {self.graphs} graphs, {self.breaks} '
                f'graph breaks, {self.later} graphs compiled again while timed')


@quiet_logs()
def measure_steps(device: torch.device, cfgs: Mapping[str, Config], batch_size: int, rounds: int,
                  clock: str = 'wall') -> tuple[dict[str, StepCost | None], Compilation]:
    """Measure the training steps of several models, interleaved; and compiling them.

    The cost of a model is None if it did not fit on the GPU.
    """
    # graphs kept from another batch size would make dynamo compile for dynamic sizes
    torch._dynamo.reset()
    counters.clear()
    ready = {name: or_none(partial(_warm_up, device, cfg, batch_size))
             for name, cfg in cfgs.items()}
    steps = {name: found[0] for name, found in ready.items() if found}
    compiling = sum(found[2] for found in ready.values() if found and found[0].compiled)
    graphs = counters['stats']['unique_graphs']
    seconds = or_none(partial(interleave, steps, Clock(clock, device), rounds)) or {}
    costs = {name: StepCost(seconds[name], found[1]) if name in seconds else None
             for name, found in ready.items()}
    return costs, Compilation(compiling, graphs, sum(counters['graph_break'].values()),
                              counters['stats']['unique_graphs'] - graphs)


def _warm_up(device: torch.device, cfg: Config,
             batch_size: int) -> tuple[TrainingStep, int | None, float]:
    """Return a step that can be timed, its memory, and the seconds of its first call."""
    on_gpu = device.type == 'cuda'
    others = torch.cuda.memory_allocated(device) if on_gpu else 0
    step = TrainingStep(cfg, batch_size, device)
    start = time.perf_counter()
    step()
    if on_gpu:
        torch.cuda.synchronize(device)
    first = time.perf_counter() - start
    return step, peak_memory(step) - others if on_gpu else None, first


def peak_memory(step: TrainingStep) -> int:
    """Measure the bytes allocated on the GPU during a step, at the peak."""
    torch.cuda.reset_peak_memory_stats(step.device)
    # two: only after the first step of a size is memory laid out as in all that follow
    for _ in range(2):
        step()
    return torch.cuda.max_memory_allocated(step.device)


def memory_of(cost: StepCost, cfg: Config, batch_size: int) -> int:
    """Return the peak bytes of a step; a CPU keeps no statistics, so they are counted for it."""
    return count_peak_bytes(cfg, batch_size) if cost.memory is None else cost.memory


def count_peak_bytes(cfg: Config, batch_size: int) -> int:
    """Count the peak bytes of activations and gradients, in the precision of a CPU."""
    step = TrainingStep(without_hooks(cfg), 2, CPU)
    with fake_tensors(step.bare_model) as live:
        step.set_batch_size(batch_size)
        step.forward_backward()
    return live.peak


def or_none(function: Callable[[], Any]) -> Any:
    """Call the function; if the GPU runs out of memory, free what it held and return None."""
    try:
        return function()
    except torch.cuda.OutOfMemoryError:
        # the other processes would wait for this one forever
        if get_world_size() > 1:
            raise
    # outside the except block, where the traceback no longer holds the tensors
    gc.collect()
    torch.cuda.empty_cache()
    return None


def run_processes(function: Callable, count: int, device_type: str, *args: Any) -> Any:
    """Call ``function(device, *args)`` in a group of processes; return rank 0's result.

    On GPUs, each process has one, joined by NCCL; on a CPU, they share the cores, joined by gloo.
    """
    context = multiprocessing.get_context('forkserver')
    # importing torch and the libraries takes seconds: once for all processes
    context.set_forkserver_preload([function.__module__])
    results = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        try:
            multiprocessing.start_processes(
                _process, (function, count, device_type, f'{folder}/rendezvous', results, args),
                nprocs=count, start_method='forkserver')
        except ProcessRaisedException as error:
            # the exception arrives as the text of its traceback
            if 'OutOfMemoryError' in str(error):
                raise torch.cuda.OutOfMemoryError('a process ran out of memory') from error
            raise
    return results.get()


def _process(rank: int, function: Callable, count: int, device_type: str, rendezvous: str,
             results: Any, args: tuple) -> None:
    os.environ['LOCAL_RANK'] = str(rank)
    device, backend = CPU, 'gloo'
    if device_type == 'cuda':
        device, backend = torch.device('cuda', rank), 'nccl'
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(max(1, num_cores() // count))
    distributed.init_process_group(backend, init_method=f'file://{rendezvous}', rank=rank,
                                   world_size=count)
    result = function(device, *args)
    if rank == 0:
        results.put(result)
    distributed.destroy_process_group()
