"""Speed, use of the device and memory of a training step.

Times the step that train.py would do with a config (preprocessing, forward, backward, optimizer)
on made-up frame pairs that are already on the device; reading data is not included. A config that
trains on single frames, such as MAE's, gets pairs too. The share of the device's peak refers to
large matrix products measured in the same run.

  vicmae benchmark step configs/vicmae_vit-b16_k400.py --batch-size 256 512 --devices 1 2
  vicmae benchmark step configs/vicmae_vit-b16_k400.py --baseline \\
      --cfg-options model.backbone.mask_ratio=0.5
"""
import argparse
import itertools
import warnings
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import torch
from mmengine.config import Config
from torch.profiler import ProfilerActivity, profile

from vicmae_mm.commands.options import positive
from vicmae_mm.utils.errors import InputError

from .options import add_config, add_number, read_config, select_device
from .output import doing, mib, print_machine, print_table, quiet_logs
from .step_costs import MEMORY, measure_peak, measure_steps, memory_of, or_none, run_processes
from .timing import Clock, PartTimer
from .training_step import TrainingStep, count_flops, mmpretrain_mae, with_compile, without_contrast

BASELINE, SAME_WORK, OURS = 'mmpretrain MAE', 'without contrast', 'the config'
CPU_BATCH = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, clock=True)
    parser.add_argument(
        '--batch-size', nargs='+', type=positive, metavar='PAIRS',
        help=f"pairs per process; default: the config's, on a CPU {CPU_BATCH}")
    add_number(parser, '--devices', [1], 'GPUs, one process for each; on a CPU, processes')
    add_number(parser, '--steps', 20, 'timed steps')
    parser.add_argument('--compile', action='store_true', help='compile the model of the config')
    parser.add_argument(
        '--baseline', action='store_true', help="also measure mmpretrain's MAE on as many images, "
        'and the config without its contrastive part, interleaved')
    parser.add_argument(
        '--profile', action='store_true', help='show where the time goes, at the first batch size')


@quiet_logs()
def run(args: argparse.Namespace) -> None:
    device = select_device(args.device)
    if device.type == 'cuda' and max(args.devices) > torch.cuda.device_count():
        raise InputError(
            f'--devices {max(args.devices)}: this machine has {torch.cuda.device_count()}')
    if args.clock == 'cpu' and (device.type != 'cpu' or max(args.devices) > 1):
        raise InputError('--clock cpu works for one process on a CPU: drop --clock, or --device '
                         'and --devices.')
    cfg = read_config(args)
    ours = with_compile(cfg) if args.compile else cfg
    cfgs = {OURS: ours}
    if args.baseline:
        cfgs = {BASELINE: mmpretrain_mae(cfg), SAME_WORK: without_contrast(ours), **cfgs}
    on_gpu, clock = device.type == 'cuda', Clock(args.clock, device)
    args.batch_size = args.batch_size or [ours.train_dataloader.batch_size if on_gpu else CPU_BATCH]
    print_machine('mmengine', 'mmpretrain')
    peak = measure_peak(device, clock)
    print(f'matmul peak: {peak}')
    with doing('counting the operations of a pair'):
        flops = {name: count_flops(cfg) for name, cfg in cfgs.items()}
    print('per pair, forward and backward: ' + ', '.join(
        f'{name} {count / 1e9:.4g} GFLOP' for name, count in flops.items()), flush=True)
    notes: list[str] = []
    # padded, because the rows are printed one by one
    header = [
        'step of         ', 'processes', 'pairs each', 'pairs/s      ', 'ms/step (quartiles)   ',
        'TFLOP/s  ', 'of peak', MEMORY[device.type], 'speed / MAE', 'memory / MAE']
    try:
        print_table(header, _rows(args, device, cfgs, peak.flops, flops, notes))
    finally:
        print(''.join(notes), end='', flush=True)
    if args.profile:
        _print_profile(ours, device, args.batch_size[0], args.steps, clock)


def _rows(args: argparse.Namespace, device: torch.device, cfgs: Mapping[str, Config],
          peak: float, flops: Mapping[str, float], notes: list[str]) -> Iterator[list[object]]:
    """Measure the models; ``notes`` gets a line per measurement that compiled anything."""
    for processes, batch in itertools.product(args.devices, args.batch_size):
        options = (cfgs, batch, args.steps, args.clock)
        with doing(f'{args.steps} steps of {batch} pairs in {processes} process(es)'):
            costs, compilation = measure_steps(device, *options) if processes == 1 else or_none(
                partial(run_processes, measure_steps, processes, device.type, *options)) or (
                    dict.fromkeys(cfgs), None)
            memory = {name: memory_of(cost, cfgs[name], batch)
                      for name, cost in costs.items() if cost is not None}
        if args.compile or (compilation and compilation.graphs):
            notes.append(f'compiling, {processes} x {batch} pairs: '
                         f'{compilation or "out of memory"}\n')
        baseline, pairs = costs.get(BASELINE), processes * batch
        for name, cost in costs.items():
            if cost is None:
                yield [name, processes, batch, 'out of memory', *[''] * 6]
                continue
            low, median, high = np.percentile(cost.seconds, [25, 50, 75])
            rate = pairs * flops[name] / median
            # processes on a CPU share the cores that the peak was measured on
            share = rate / peak / (processes if device.type == 'cuda' else 1)
            yield [name, processes, batch, f'{pairs / median:.4g}',
                   f'{median * 1e3:.1f} ({low * 1e3:.1f}-{high * 1e3:.1f})', f'{rate / 1e12:.4g}',
                   f'{share:.1%}', mib(memory[name]),
                   *(['', ''] if baseline is None else [
                       f'{np.median(baseline.seconds / cost.seconds):.3f}',
                       f'{memory[name] / memory[BASELINE]:.3f}'])]


def time_parts(step: TrainingStep, rounds: int, clock: Clock) -> dict[str, float]:
    """Return the median milliseconds of each part; the step cannot be used afterwards."""
    timer = PartTimer(clock)

    def watch(owner: object, method: str, name: str) -> None:
        if hasattr(owner, method):  # depends on the kind of model
            setattr(owner, method, timer.wrap(getattr(owner, method), name))

    # what is inside a compiled graph cannot be timed: fewer parts, and other names
    compiled = step.compiled
    model = step.bare_model
    watch(model.data_preprocessor, 'forward', 'preprocessing')
    masked = hasattr(model.backbone, 'encode_visible')
    watch(model.backbone, 'forward', 'masking' if masked else 'encoder')
    watch(model.backbone, 'encode_visible',
          'encoder' if compiled else 'encoder: patch embedding, norms')
    watch(model, 'hidden_patch_loss', 'decoder, targets, loss' if compiled
          else 'decoder: embedding, norms, prediction; targets, loss')
    watch(model, '_contrast_loss', 'pooling, projector, contrast, monitors')
    if not compiled:
        for name, blocks in (('encoder', getattr(model.backbone, 'layers', ())),
                             ('decoder', getattr(model.neck, 'decoder_blocks', ()))):
            for block in blocks:
                watch(block.attn, 'forward', f'{name}: attention')
                watch(block.ffn, 'forward', f'{name}: MLP')
    for method, name in ('backward', 'backward'), ('step', 'optimizer'), ('zero_grad', 'optimizer'):
        watch(step.optim_wrapper, method, name)
    spans = [timer.measure(step) for _ in range(rounds + 1)][1:]
    names = dict.fromkeys(name for span in spans for name in span)
    return {name: 1000 * float(torch.tensor([span[name] for span in spans]).median())
            for name in names}


def top_operations(step: TrainingStep, rounds: int = 2) -> list[tuple]:
    """Find the kernels of a GPU, or operations of a CPU, that take the most time of their own."""
    with profiler_of(step.device) as profiler:
        for _ in range(rounds):
            step()
    return operations(profiler, step.device, rounds)


def profiler_of(device: torch.device) -> profile:
    """Return a profiler of a GPU's kernels, or of a CPU's operations."""
    on_gpu = device.type == 'cuda'
    # about cycles, which only matter to a profiler with a schedule
    warnings.filterwarnings('ignore', '.*Profiler clears events')
    return profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU])


def operations(profiler: profile, device: torch.device, rounds: int) -> list[tuple]:
    """List name, calls, milliseconds of each operation per step, and its share of the total."""
    on_gpu = device.type == 'cuda'
    events = profiler.key_averages()
    attribute = 'self_cpu_time_total'
    if on_gpu:  # renamed in torch 2.4
        renamed = hasattr(events[0], 'self_device_time_total')
        attribute = 'self_device_time_total' if renamed else 'self_cuda_time_total'
    # on a GPU's timeline, annotations cover the kernels and would count twice
    spans = [(event.key, event.count / rounds, getattr(event, attribute) / 1000 / rounds)
             for event in events if not (on_gpu and getattr(event, 'is_user_annotation', False))]
    total = sum(milliseconds for _, _, milliseconds in spans)
    return [(*span, span[2] / total) for span in sorted(spans, key=lambda span: -span[2])]


def print_operations(found: list[tuple], device: torch.device, count: int = 15) -> None:
    """Print the first of the operations."""
    print_table(['kernel' if device.type == 'cuda' else 'operation', 'calls/step', 'ms', 'share'],
                [[name[:90], f'{calls:g}', f'{ms:.2f}', f'{share:.1%}']
                 for name, calls, ms, share in found[:count]])


def _print_profile(cfg: Config, device: torch.device, batch: int, rounds: int,
                   clock: Clock) -> None:
    step = or_none(partial(TrainingStep, cfg, batch, device))
    if step is None or or_none(lambda: [step() for _ in range(3)]) is None:
        print(f'profile, {batch} pairs: out of memory')
        return
    found = top_operations(step)
    parts = time_parts(step, rounds, clock)
    total = sum(parts.values())
    print(f'\nwhere a step of {batch} pairs spends its time ({OURS}):')
    print_table(['part', 'ms', 'share'],
                [[name, f'{ms:.2f}', f'{ms / total:.1%}'] for name, ms in parts.items()])
    print_operations(found, device)
