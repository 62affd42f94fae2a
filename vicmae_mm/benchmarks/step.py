"""What a training step costs on this machine.

Times the step that train.py would do with a config (preprocessing, forward, backward, optimizer),
on made-up frame pairs that are on the device already; reading the data is not in it. The device's
peak, of which a share is given, is that of large matrix products measured in the same run.

  python tools/benchmark.py step configs/vicmae_vit-b16_k400.py --batch 256 512 --compile
  python tools/benchmark.py step configs/vicmae_vit-b16_k400.py --baseline \\
      --cfg-options model.backbone.mask_ratio=0.5
  python tools/benchmark.py step configs/vicmae_vit-b16_k400.py --gpus 1 2 8
"""
import argparse
import itertools
from collections.abc import Mapping

import numpy as np
import torch

from vicmae_mm import cli

from .config_options import add_config, read_config
from .flops import count_flops
from .mae_baseline import mmpretrain_mae, without_contrast
from .matmul_peak import Peak, measure_peak
from .measuring import CLOCKS, describe_machine, markdown_table, mib, speed_up
from .processes import run_processes
from .progress import track
from .step_measurement import (
    MEMORY,
    Compilation,
    Contender,
    StepCost,
    measure_steps,
    memory_of,
    or_none,
)
from .step_profile import time_parts, top_operations
from .training_step import TrainingStep, quiet_logs

SUMMARY = 'speed, use of the device and memory of a training step'
BASELINE, SAME_WORK, OURS = 'mmpretrain MAE', 'without contrast', 'the config'
CPU_BATCH = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_config(parser)
    parser.add_argument(
        '--batch', nargs='+', type=int, metavar='PAIRS',
        help=f"pairs a process; default: the config's, on a CPU {CPU_BATCH}")
    parser.add_argument(
        '--gpus', nargs='+', type=int, default=[1], metavar='N',
        help='GPUs, a process each; on a CPU processes. Default: 1')
    parser.add_argument(
        '--steps', type=int, default=20, help='steps that are timed; default: %(default)s')
    parser.add_argument('--compile', action='store_true', help='compile the model of the config')
    parser.add_argument(
        '--baseline', action='store_true',
        help="measure mmpretrain's MAE on as many images, and the config without its contrastive "
        'part, in turns with it')
    parser.add_argument(
        '--profile', action='store_true', help='show where the time goes, at the first batch size')
    parser.add_argument(
        '--clock', choices=CLOCKS, default='wall',
        help="on a CPU: 'cpu' is the process's own time, for a machine shared with others")
    cli.add_device(parser)


@quiet_logs()
def run(args: argparse.Namespace) -> None:
    """Measure and print.

    Raises:
        ValueError: For more GPUs than there are, or options that don't go together.
    """
    device = torch.device(args.device)
    _check(args, device)
    contenders = _contenders(args)
    batches = args.batch or [contenders[OURS].cfg.train_dataloader.batch_size
                             if device.type == 'cuda' else CPU_BATCH]
    print(describe_machine('mmengine', 'mmpretrain'))
    peak = measure_peak(device, clock=args.clock)
    print(f'matmul peak: {peak}')
    flops = {name: count_flops(contender.cfg) for name, contender in contenders.items()}
    print('a pair, forward and backward: ' + ', '.join(
        f'{name} {count / 1e9:.4g} GFLOP' for name, count in flops.items()))
    table = _Table(device, peak, flops)
    try:
        for processes, batch in track([*itertools.product(args.gpus, batches)], 'Training steps'):
            costs, compilation = _measure(args, device, contenders, processes, batch)
            table.add(processes, batch, costs, {
                name: memory_of(cost, contenders[name].cfg, batch)
                for name, cost in costs.items() if cost is not None})
            if args.compile:
                print(_compilation_words(batch, compilation))
    finally:
        print(table, flush=True)  # what was measured, should the rest fail or be cut short
    if args.profile:
        _print_profile(contenders[OURS], device, batches[0], args)


def _check(args: argparse.Namespace, device: torch.device) -> None:
    if min([args.steps, *args.gpus, *(args.batch or [])]) < 1:
        raise ValueError('--steps, --gpus and --batch must be 1 or more')
    if device.type == 'cuda' and max(args.gpus) > torch.cuda.device_count():
        raise ValueError(f'--gpus {max(args.gpus)}: this machine has {torch.cuda.device_count()}')
    if args.clock == 'cpu' and (device.type != 'cpu' or max(args.gpus) > 1):
        raise ValueError("--clock cpu is for one process on a CPU: leave it, or --device and "
                         '--gpus, out')


def _contenders(args: argparse.Namespace) -> dict[str, Contender]:
    cfg = read_config(args)
    if not args.baseline:
        return {OURS: Contender(cfg, args.compile)}
    return {
        BASELINE: Contender(mmpretrain_mae(cfg)),
        SAME_WORK: Contender(without_contrast(cfg), args.compile),
        OURS: Contender(cfg, args.compile),
    }


def _measure(args: argparse.Namespace, device: torch.device, contenders: dict[str, Contender],
             processes: int, batch: int) -> tuple[dict[str, StepCost | None], Compilation | None]:
    options = (contenders, batch, args.steps, args.clock)
    if processes == 1:
        return measure_steps(device, *options)
    found = or_none(lambda: run_processes(measure_steps, processes, device.type, *options))
    return found or (dict.fromkeys(contenders), None)


class _Table:
    """The rows of all measurements.

    Args:
        device: Where they were made.
        peak: Of the device.
        flops: Of a pair, of each contender.
    """

    def __init__(self, device: torch.device, peak: Peak, flops: Mapping[str, float]) -> None:
        self._device, self._peak, self._flops = device, peak, flops
        self._rows: list[list[object]] = []

    def add(self, processes: int, batch: int, costs: Mapping[str, StepCost | None],
            memory: Mapping[str, int]) -> None:
        """Add what was measured in turns, and the bytes that each needs."""
        baseline = costs.get(BASELINE)
        for name, cost in costs.items():
            row: list[object] = [name, processes, batch]
            if cost is None:
                self._rows.append([*row, 'out of memory', *[''] * 6])
                continue
            low, median, high = np.percentile(cost.seconds, [25, 50, 75])
            pairs = processes * batch / median
            rate = pairs * self._flops[name]
            # processes on a CPU share the cores that the peak was measured on
            devices = processes if self._device.type == 'cuda' else 1
            row += [f'{pairs:.4g}', f'{median * 1e3:.1f} ({low * 1e3:.1f}-{high * 1e3:.1f})',
                    f'{rate / 1e12:.4g}', f'{rate / self._peak.flops / devices:.1%}',
                    mib(memory[name])]
            row += [f'{speed_up(baseline.seconds, cost.seconds)[0]:.3f}',
                    f'{memory[name] / memory[BASELINE]:.3f}'] if baseline else ['', '']
            self._rows.append(row)

    def __str__(self) -> str:
        return markdown_table(
            ['step of', 'processes', 'pairs each', 'pairs/s', 'ms a step (quartiles)', 'TFLOP/s',
             'of peak', MEMORY[self._device.type], 'speed / MAE', 'memory / MAE'],
            self._rows)


def _compilation_words(batch: int, compilation: Compilation | None) -> str:
    if compilation is None:
        return f'compiling, {batch} pairs: out of memory'
    return (f'compiling, {batch} pairs: {compilation.seconds:.1f} s for the first steps, '
            f'{compilation.graphs} graphs, {compilation.breaks} graph breaks, '
            f'{compilation.later} graphs compiled again while timed')


def _print_profile(contender: Contender, device: torch.device, batch: int,
                   args: argparse.Namespace) -> None:
    step = or_none(lambda: _warm(contender, device, batch))
    if step is None:
        print(f'profile, {batch} pairs: out of memory')
        return
    operations = top_operations(step)
    parts = time_parts(step, args.steps, contender.compiled, args.clock)
    whole = sum(parts.values())
    print(f'\nwhere a step of {batch} pairs spends its time ({OURS}):')
    print(markdown_table(
        ['part', 'ms', 'share'],
        [[name, f'{ms:.2f}', f'{ms / whole:.1%}'] for name, ms in parts.items()]))
    print(markdown_table(
        ['kernel' if device.type == 'cuda' else 'operation', 'calls a step', 'ms', 'share'],
        [[name[:90], f'{calls:g}', f'{ms:.2f}', f'{share:.1%}']
         for name, calls, ms, share in operations]))


def _warm(contender: Contender, device: torch.device, batch: int) -> TrainingStep:
    step = TrainingStep(contender.cfg, batch, device, contender.compiled)
    for _ in range(3):
        step()
    return step
