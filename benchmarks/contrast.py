"""What the contrast costs when many processes bring their pairs.

For the pairs of a batch spread over the processes, and for as many on each: counts the operations
of the contrastive part (pooling, projector, gather, InfoNCE, monitors), what it gathers and
keeps, as a share of a training step; and measures both on this device, one process's part of the
work, with random embeddings in the place of the other processes'.

  python benchmarks/run.py contrast configs/vicmae_vit-b16_k400.py
  python benchmarks/run.py contrast configs/vicmae_vit-b16_k400.py --gather
"""
import argparse
import math
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import torch
from mmengine.config import Config

from vicmae_mm.models.distributed import gather_with_grad
from vicmae_mm.utils.errors import InputError

from .config_options import add_config, read_config
from .contrast_part import ContrastCount, ContrastPart, count_contrast
from .flops import count_flops
from .mae_baseline import without_contrast
from .measuring import add_clock_and_device, describe_machine, mib, print_table, select_device
from .processes import run_processes
from .progress import doing
from .step_measurement import or_none
from .step_timing import time_in_turns
from .training_step import TrainingStep, quiet_logs

SUMMARY = 'cost of the contrast over many processes'
STEP_PAIRS = {'cuda': 256, 'cpu': 4}  # a step of all pairs at once may not fit
# of torch.set_float32_matmul_precision: 'high' is TF32 on a GPU, and nothing else on a CPU
PRECISIONS = {'cuda': ('highest', 'high'), 'cpu': ('highest', )}
CPU_BYTES = 2 * 2**30  # a measurement that needs more is left out on a CPU


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_config(parser)
    parser.add_argument('--pairs', type=int, default=4096, help='default: %(default)s')
    parser.add_argument('--processes', type=int, default=8, help='default: %(default)s')
    parser.add_argument(
        '--rounds', type=int, default=5, help='how often each is timed; default: %(default)s')
    parser.add_argument(
        '--gather', action='store_true',
        help='time the gather in real processes, by NCCL with a GPU for each, else by gloo')
    add_clock_and_device(parser)


@quiet_logs()
def run(args: argparse.Namespace) -> None:
    """Count, measure and print.

    Raises:
        ValueError: If the pairs can't be spread over the processes.
    """
    if args.processes < 2 or args.pairs % args.processes or args.rounds < 1:
        raise InputError('--processes must be 2 or more, --pairs a multiple of it, --rounds 1 or '
                         'more')
    cfg = read_config(args)
    device = select_device(args.device)
    batch = args.pairs // args.processes
    print(describe_machine('mmengine', 'mmpretrain'))
    counts = {pairs: count_contrast(cfg, pairs, args.processes) for pairs in (batch, args.pairs)}
    rest_flops = count_flops(without_contrast(cfg))
    print(f'the rest of the step: {rest_flops / 1e9:.4g} GFLOP a pair')
    print_table(
        ['pairs x processes', 'projector, GFLOP', 'similarities, GFLOP', 'of all operations',
         'gathered, MiB', 'similarities, MiB', 'at a time, MiB', 'float32 products', 'ms       ',
         'rest of the step, ms', 'of all time'], _rows(cfg, args, counts, rest_flops, device))
    if args.gather:
        _print_gather(batch, counts[batch].width, args)


def _rows(cfg: Config, args: argparse.Namespace, counts: Mapping[int, ContrastCount],
          rest_flops: float, device: torch.device) -> Iterator[list[str]]:
    for pairs, count in counts.items():
        counted = _counted(pairs, args.processes, count, rest_flops * pairs)
        for precision in PRECISIONS[device.type]:
            torch.set_float32_matmul_precision(precision)
            with doing(f'contrast of {pairs} pairs a process'):
                measured = _measured(cfg, pairs, args, count, device)
            yield [f'{pairs} x {args.processes}', *counted, precision, *measured]


def _counted(pairs: int, processes: int, count: ContrastCount, rest: float) -> list[str]:
    flops = count.projector + count.similarities
    return [f'{count.projector / 1e9:.1f}', f'{count.similarities / 1e9:.1f}',
            f'{flops / (flops + rest):.2%}', mib(2 * pairs * processes * count.width * 4),
            mib(2 * pairs * pairs * processes * 4), mib(count.peak)]


def _measured(cfg: Config, pairs: int, args: argparse.Namespace, count: ContrastCount,
              device: torch.device) -> list[str]:
    if device.type == 'cpu' and count.peak > CPU_BYTES:
        return ['not measured', '', '']
    seconds = or_none(partial(_time, cfg, pairs, args, device))
    if seconds is None:
        return ['out of memory', '', '']
    contrast, rest = seconds
    return [f'{contrast * 1e3:.1f}', f'{rest * 1e3:.0f}', f'{contrast / (contrast + rest):.2%}']


def _time(cfg: Config, pairs: int, args: argparse.Namespace,
          device: torch.device) -> tuple[float, float]:
    """Median seconds of the contrastive part, and of the rest of a step of as many pairs."""
    step_pairs = STEP_PAIRS[device.type]
    seconds = time_in_turns({
        'contrast': ContrastPart(cfg, pairs, args.processes, device),
        'rest': TrainingStep(without_contrast(cfg), step_pairs, device),
    }, args.rounds, device, args.clock)
    return (float(np.median(seconds['contrast'])),
            float(np.median(seconds['rest'])) * pairs / step_pairs)


def _print_gather(pairs: int, width: int, args: argparse.Namespace) -> None:
    gpus = torch.cuda.device_count() >= args.processes
    shape = (pairs, 2, width)
    seconds = run_processes(
        _time_gather, args.processes, 'cuda' if gpus else 'cpu', shape, args.rounds)
    print(f'gather of {mib(4 * args.processes * math.prod(shape))} MiB and the way back of its '
          f'gradient, {args.processes} processes by {"NCCL" if gpus else "gloo"}: '
          f'{seconds * 1e3:.1f} ms')


def _time_gather(device: torch.device, shape: tuple[int, ...], rounds: int) -> float:
    rows = torch.randn(shape, device=device, requires_grad=True)

    def gather() -> None:
        gather_with_grad(rows).sum().backward()

    return float(np.median(time_in_turns(dict(gather=gather), rounds, device)['gather']))
