"""Run a function in several processes joined by gloo, and compare what comes out."""
import math
import multiprocessing
import os
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from mmengine.config import config
from mmengine.registry import DefaultScope
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from yapf.yapflib import yapf_api

# What every process would import for itself, some seconds each: the fork server
# imports it once for the whole test session.
PRELOAD = ['pytest', 'tests.helpers.distributed', 'mmpretrain.models', 'vicmae_mm.models',
           'tests.helpers.runs', 'tests.recovery.killed_runs',
           *(f'vicmae_mm.commands.preparation.{name}' for name in (
               'check_videos', 'pack_video', 'reencode'))]


def run_distributed(fn: Callable, world_size: int, *args: Any, timeout: float = 120.) -> list[Any]:
    """Call ``fn(*args)`` in ``world_size`` processes of one gloo group.

    Args:
        fn (Callable): A function of a module (pickled by name). It may return
            tensors, numbers and strings in dicts and lists.
        world_size (int): Number of processes.
        *args: Passed on to every process, pickled.
        timeout (float): Seconds after which hanging processes are ended.

    Returns:
        list: What each rank returned.

    Raises:
        RuntimeError: With the traceback of each rank that failed.
    """
    context = multiprocessing.get_context('forkserver')
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        processes = [
            context.Process(  # no daemon, or it could not start the workers of a data loader
                target=_process, args=(folder, rank, world_size, timeout, fn, args))
            for rank in range(world_size)
        ]
        for process in processes:
            process.start()
        hung = _join(processes, timeout)
        problems = [path.read_text() for path in sorted(folder.glob('*.error'))]
        if hung:
            problems.append(f'ranks {hung} still ran after {timeout} s, or after a rank had failed')
        missing = [r for r in range(world_size) if not (folder / f'{r}.pt').exists()]
        if problems or missing:
            raise RuntimeError('\n'.join([f'ranks {missing} returned nothing', *problems]))
        return [torch.load(folder / f'{r}.pt', weights_only=True) for r in range(world_size)]


def _join(processes: list, timeout: float) -> list[int]:
    """Wait for all; once one fails, the others get 10 s more. Returns who had to be ended."""
    deadline = time.monotonic() + timeout
    try:
        while any(p.is_alive() for p in processes) and time.monotonic() < deadline:
            if any(p.exitcode for p in processes):
                deadline = min(deadline, time.monotonic() + 10)
            time.sleep(0.02)
        return [rank for rank, p in enumerate(processes) if p.is_alive()]
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _process(folder: Path, rank: int, world_size: int, timeout: float, fn: Callable,
             args: tuple) -> None:
    torch.set_num_threads(1)
    os.environ['LOCAL_RANK'] = str(rank)  # as torchrun does; mmengine's runner wants it
    try:
        distributed.init_process_group(
            'gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=world_size,
            timeout=timedelta(seconds=timeout))
        with DefaultScope.overwrite_default_scope('mmpretrain'), unformatted_configs():
            result = fn(*args)
        torch.save(result, folder / f'{rank}.tmp')
        (folder / f'{rank}.tmp').rename(folder / f'{rank}.pt')
        # The group ends with the process: to destroy it hangs at times with gloo before torch 2.8,
        # which waits for its threads while it holds Python's lock (pytorch pull request 154976).
    except BaseException:
        (folder / f'{rank}.error').write_text(f'rank {rank}:\n{traceback.format_exc()}')
        raise


def unformatted_configs() -> Any:
    """Context in which config texts are not laid out: it takes a third of the time of a tiny run.

    The statements are the same. Tests that start a tool as a process have the usual texts.
    """
    # onedl-mmengine imports it late, from where it is defined.
    module = config if hasattr(config, 'FormatCode') else yapf_api
    return patch.object(module, 'FormatCode', lambda text, **kwargs: (text, True))


def step(model: nn.Module, *batch: Tensor) -> dict[str, Tensor]:
    """One forward and backward of ``model(*batch)``, a scalar loss, as training does it.

    Without a process group, on the whole batch. In one, on this rank's slice and
    through DistributedDataParallel; then the loss and the gradients of the inputs
    are put together over the ranks as those of the mean loss.

    Returns:
        dict: ``'loss'``, ``'input <n>'`` for the gradient of the n-th floating
        batch tensor and ``'grad.<name>'`` for that of each parameter, where there
        is one, and ``'buffer.<name>'`` for the new value of each buffer.
    """
    world = distributed.get_world_size() if distributed.is_initialized() else 1
    rank = distributed.get_rank() if distributed.is_initialized() else 0
    local = [x.chunk(world)[rank].clone() for x in batch]
    leaves = [x.requires_grad_() for x in local if x.is_floating_point()]
    wrapped = model
    if distributed.is_initialized():
        wrapped = DistributedDataParallel(model, broadcast_buffers=False)
    loss = wrapped(*local)
    loss.backward()
    out = {'loss': _over_ranks(loss.detach()[None], world).mean()}
    for n, leaf in enumerate(leaves):
        if leaf.grad is not None:
            out[f'input {n}'] = _over_ranks(leaf.grad, world) / world
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            out[f'grad.{name}'] = parameter.grad
    out.update({f'buffer.{name}': b for name, b in model.named_buffers()})
    return out


def _over_ranks(x: Tensor, world: int) -> Tensor:
    if world == 1:
        return x
    parts = [torch.empty_like(x) for _ in range(world)]
    distributed.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def worst_difference(got: dict[str, Tensor], want: dict[str, Tensor]) -> tuple[float, str]:
    """Largest relative difference |got - want| / |want| of two :func:`step`s, and where.

    Taken layer by layer, the gradients of weight and bias together: a bias right
    before a BatchNorm has a gradient of zero, and so no scale of its own.
    """
    if got.keys() != want.keys():
        raise ValueError(f'only one of the steps has {sorted(got.keys() ^ want.keys())}')
    squares: dict[str, list[float]] = {}
    for name, expected in want.items():
        layer = name.rpartition('.')[0] if name.startswith(('grad.', 'buffer.')) else name
        difference, scale = squares.setdefault(layer, [0., 0.])
        squares[layer] = [difference + _square_norm(got[name].double() - expected.double()),
                          scale + _square_norm(expected)]
    # max() would pass over a NaN
    return max((math.sqrt(d / s) if d == d else math.inf, layer)
               for layer, (d, s) in squares.items())


def _square_norm(x: Tensor) -> float:
    return float(x.double().square().sum())
