"""What a training step costs on this machine.

Times the step that train.py would do with a config (preprocessing, forward, backward, optimizer),
on made-up frame pairs that are on the device already; reading the data is not in it. A config that
trains on single frames, as MAE's, is given pairs all the same. The device's peak, of which a share
is given, is that of large matrix products measured in the same run.

  python benchmarks/run.py step configs/vicmae_vit-b16_k400.py --batch 256 512 --compile
  python benchmarks/run.py step configs/vicmae_vit-b16_k400.py --baseline \\
      --cfg-options model.backbone.mask_ratio=0.5
  python benchmarks/run.py step configs/vicmae_vit-b16_k400.py --gpus 1 2 8
"""
import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from mmengine.config import Config

from vicmae_mm.utils.errors import InputError

from .config_options import add_config, read_config
from .flops import count_flops
from .mae_baseline import mmpretrain_mae, without_contrast
from .matmul_peak import Peak, measure_peak
from .measuring import (
    add_clock_and_device,
    describe_machine,
    markdown_table,
    mib,
    print_table,
    select_device,
    speed_up,
)
from .processes import run_processes
from .progress import doing
from .step_measurement import MEMORY, Compilation, StepCost, measure_steps, memory_of, or_none
from .step_profile import time_parts, top_operations
from .training_step import TrainingStep, quiet_logs, with_compilation

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
    add_clock_and_device(parser)


@quiet_logs()
def run(args: argparse.Namespace) -> None:
    """Measure and print.

    Raises:
        ValueError: For more GPUs than there are, options that don't go together, or a config that
            is not of pre-training.
    """
    device = select_device(args.device)
    _check(args, device)
    cfgs = _contenders(args)
    batches = args.batch or [cfgs[OURS].train_dataloader.batch_size
                             if device.type == 'cuda' else CPU_BATCH]
    print(describe_machine('mmengine', 'mmpretrain'))
    peak = measure_peak(device, clock=args.clock)
    print(f'matmul peak: {peak}')
    with doing('counting the operations of a pair'):
        flops = {name: count_flops(cfg) for name, cfg in cfgs.items()}
    print('a pair, forward and backward: ' + ', '.join(
        f'{name} {count / 1e9:.4g} GFLOP' for name, count in flops.items()), flush=True)
    compilations: dict[tuple[int, int], Compilation | None] = {}
    try:
        print_table(_header(device), _rows(args, device, cfgs, batches, peak, flops, compilations))
    finally:
        for (processes, batch), compilation in compilations.items():
            print(_compilation_words(processes, batch, compilation), flush=True)
    if args.profile:
        _print_profile(cfgs[OURS], device, batches[0], args)


def _check(args: argparse.Namespace, device: torch.device) -> None:
    if min([args.steps, *args.gpus, *(args.batch or [])]) < 1:
        raise InputError('--steps, --gpus and --batch must be 1 or more')
    if device.type == 'cuda' and max(args.gpus) > torch.cuda.device_count():
        raise InputError(f'--gpus {max(args.gpus)}: this machine has {torch.cuda.device_count()}')
    if args.clock == 'cpu' and (device.type != 'cpu' or max(args.gpus) > 1):
        raise InputError("--clock cpu is for one process on a CPU: leave it, or --device and "
                         '--gpus, out')


def _contenders(args: argparse.Namespace) -> dict[str, Config]:
    cfg = read_config(args)
    ours = with_compilation(cfg) if args.compile else cfg
    if not args.baseline:
        return {OURS: ours}
    return {BASELINE: mmpretrain_mae(cfg), SAME_WORK: without_contrast(ours), OURS: ours}


def _header(device: torch.device) -> list[str]:
    widest = max((BASELINE, SAME_WORK, OURS), key=len)
    return ['step of'.ljust(len(widest)), 'processes', 'pairs each', 'pairs/s      ',
            'ms a step (quartiles) ', 'TFLOP/s  ', 'of peak', MEMORY[device.type], 'speed / MAE',
            'memory / MAE']


def _rows(args: argparse.Namespace, device: torch.device, cfgs: Mapping[str, Config],
          batches: Sequence[int], peak: Peak, flops: Mapping[str, float],
          compilations: dict[tuple[int, int], Compilation | None]) -> Iterator[list[object]]:
    """Measure the models in turns for each number of processes and batch size.

    Args:
        args: The command's options.
        device: Where.
        cfgs: Of the models, by name.
        batches: Pairs a process.
        peak: Of the device.
        flops: Of a pair, of each model.
        compilations: Gets what compiling cost for processes and batch, where anything was compiled.
    """
    for processes, batch in itertools.product(args.gpus, batches):
        with doing(f'{args.steps} steps of {batch} pairs in {processes} process(es)'):
            costs, compilation = _measure(args, device, cfgs, processes, batch)
            memory = {name: memory_of(cost, cfgs[name], batch)
                      for name, cost in costs.items() if cost is not None}
        if args.compile or (compilation and compilation.graphs):
            compilations[processes, batch] = compilation
        # processes on a CPU share the cores that the peak was measured on
        peak_flops = peak.flops * (processes if device.type == 'cuda' else 1)
        for name, cost in costs.items():
            start = [name, processes, batch]
            if cost is None:
                yield [*start, 'out of memory', *[''] * 6]
                continue
            pairs = processes * batch
            yield [*start, *_speed(cost.seconds, pairs, pairs * flops[name], peak_flops),
                   mib(memory[name]), *_ratios(name, costs, memory)]


def _speed(seconds: np.ndarray, pairs: int, flops: float, peak_flops: float) -> list[str]:
    low, median, high = np.percentile(seconds, [25, 50, 75])
    return [f'{pairs / median:.4g}', f'{median * 1e3:.1f} ({low * 1e3:.1f}-{high * 1e3:.1f})',
            f'{flops / median / 1e12:.4g}', f'{flops / median / peak_flops:.1%}']


def _ratios(name: str, costs: Mapping[str, StepCost | None],
            memory: Mapping[str, int]) -> list[str]:
    """Of speed and memory to those of the baseline, if that was measured."""
    cost, baseline = costs[name], costs.get(BASELINE)
    if cost is None or baseline is None:
        return ['', '']
    return [f'{speed_up(baseline.seconds, cost.seconds)[0]:.3f}',
            f'{memory[name] / memory[BASELINE]:.3f}']


def _measure(args: argparse.Namespace, device: torch.device, cfgs: Mapping[str, Config],
             processes: int, batch: int) -> tuple[dict[str, StepCost | None], Compilation | None]:
    options = (cfgs, batch, args.steps, args.clock)
    if processes == 1:
        return measure_steps(device, *options)
    found = or_none(lambda: run_processes(measure_steps, processes, device.type, *options))
    return found or (dict.fromkeys(cfgs), None)


def _compilation_words(processes: int, batch: int, compilation: Compilation | None) -> str:
    what = f'compiling, {processes} x {batch} pairs'
    if compilation is None:
        return f'{what}: out of memory'
    return (f'{what}: {compilation.seconds:.1f} s for the first steps, '
            f'{compilation.graphs} graphs, {compilation.breaks} graph breaks, '
            f'{compilation.later} graphs compiled again while timed')


def _print_profile(cfg: Config, device: torch.device, batch: int,
                   args: argparse.Namespace) -> None:
    step = or_none(lambda: _warm(cfg, device, batch))
    if step is None:
        print(f'profile, {batch} pairs: out of memory')
        return
    operations = top_operations(step)
    parts = time_parts(step, args.steps, args.clock)
    whole = sum(parts.values())
    print(f'\nwhere a step of {batch} pairs spends its time ({OURS}):')
    print(markdown_table(
        ['part', 'ms', 'share'],
        [[name, f'{ms:.2f}', f'{ms / whole:.1%}'] for name, ms in parts.items()]))
    print(markdown_table(
        ['kernel' if device.type == 'cuda' else 'operation', 'calls a step', 'ms', 'share'],
        [[name[:90], f'{calls:g}', f'{ms:.2f}', f'{share:.1%}']
         for name, calls, ms, share in operations]))


def _warm(cfg: Config, device: torch.device, batch: int) -> TrainingStep:
    step = TrainingStep(cfg, batch, device)
    for _ in range(3):
        step()
    return step
