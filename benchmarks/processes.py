"""Running a function in several processes of one group, as training on several GPUs does."""
import os
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import distributed, multiprocessing
from torch.multiprocessing.spawn import ProcessRaisedException

from vicmae_mm.utils.processes.pool import num_cores


def run_processes(function: Callable, count: int, device_type: str, *args: Any) -> Any:
    """Call ``function(device, *args)`` in every process of a group.

    Args:
        function: A function of a module.
        count: Processes.
        device_type: ``'cuda'``, each process its own GPU, joined by NCCL; or ``'cpu'``, by gloo,
            the cores shared out between them.
        args: Passed on, pickled.

    Returns:
        What the process of rank 0 returned, pickled.

    Raises:
        torch.cuda.OutOfMemoryError: A process ran out of the GPU's memory; the others are ended.
        ProcessRaisedException: A process raised something else.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([function.__module__])  # some seconds, once for all processes
    results = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        try:
            multiprocessing.start_processes(
                _process, (function, count, device_type, f'{folder}/rendezvous', results, args),
                nprocs=count, start_method='forkserver')
        except ProcessRaisedException as error:
            if 'OutOfMemoryError' in str(error):
                raise torch.cuda.OutOfMemoryError('a process ran out of memory') from error
            raise
    return results.get()


def _process(rank: int, function: Callable, count: int, device_type: str, rendezvous: str,
             results: Any, args: tuple) -> None:
    os.environ['LOCAL_RANK'] = str(rank)
    device = torch.device(f'cuda:{rank}' if device_type == 'cuda' else 'cpu')
    if device_type == 'cuda':
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(max(1, num_cores() // count))
    distributed.init_process_group(
        'nccl' if device_type == 'cuda' else 'gloo', init_method=f'file://{rendezvous}', rank=rank,
        world_size=count)
    result = function(device, *args)
    if rank == 0:
        results.put(result)
    distributed.destroy_process_group()
