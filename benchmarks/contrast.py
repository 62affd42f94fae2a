"""Cost of the contrast when many processes contribute their pairs.

For the pairs of a batch divided among the processes, and for as many in each: counts the operations
of the contrastive part (pooling, projector, gather, InfoNCE, monitors) as a share of a training
step, and what it gathers and keeps; times both on this device, as in one of the processes, with
random embeddings in place of the others'.

  vicmae benchmark contrast configs/vicmae_vit-b16_k400.py --gather
  vicmae benchmark contrast configs/vicmae_vit-b16_k400.py --pairs 524288 --processes 1024
"""
import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from mmengine.config import Config
from mmpretrain.models.selfsup.mae import MAEViT
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from vicmae_mm.models import InfoNCEHead, monitors
from vicmae_mm.models.distributed import gather_with_grad
from vicmae_mm.models.heads.info_nce_head import AT_ONCE
from vicmae_mm.utils.errors import InputError

from .options import add_config, add_number, read_config, select_device
from .output import doing, mib, print_machine, print_table, quiet_logs
from .step_costs import or_none, run_processes
from .timing import CPU, Clock, median_seconds
from .training_step import TrainingStep, count_flops, fake_tensors, without_contrast, without_hooks

STEP_PAIRS = {'cuda': 256, 'cpu': 4}  # of the timed step, then scaled: all pairs may not fit
# of torch.set_float32_matmul_precision; 'high' is TF32 on a GPU and has no effect on a CPU
PRECISIONS = {'cuda': ('highest', 'high'), 'cpu': ('highest', )}
MOST_PAIRS = 2**14  # of one process
CPU_BYTES = 2 * 2**30  # on a CPU, what needs more is not measured


class OneOfMany(InfoNCEHead):
    """``head`` as one of several processes computes it; the others' embeddings are random."""

    def __init__(self, processes: int, head: InfoNCEHead) -> None:
        super().__init__(head.temperature, head.symmetric, head.negatives, head.gather)
        self.processes = processes if head.gather else 1
        self._every: Tensor | None = None
        self.width = 0  # channels of the embeddings

    def _candidates(self, online: Tensor, target: Tensor) -> tuple[Tensor, Tensor, int]:
        pairs = torch.stack([online, target], dim=1)
        # drawn only once, so that drawing them is not timed
        if self._every is None:
            self.width = pairs.shape[2]
            shape = (len(pairs) * self.processes, *pairs.shape[1:])
            self._every = F.normalize(torch.randn(shape, device=pairs.device), dim=2)
        every = _OwnRows.apply(pairs, self._every.detach())
        # for the monitors, as many as in a gathered batch
        self.gathered = every.detach().unbind(dim=1)
        onlines, targets = every.unbind(dim=1)
        return onlines, targets, 0


class _OwnRows(torch.autograd.Function):
    """Writes the first rows, as if the others had come from other processes."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, every: Tensor) -> Tensor:
        every[:len(own)] = own
        ctx.number = len(own)
        ctx.mark_dirty(every)
        return every

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad[:ctx.number].clone(), None


class ContrastPart:
    """Pooling, projector, contrast and monitors in one of several processes; a call is a step's."""

    def __init__(self, cfg: Config, pairs: int, processes: int, device: torch.device) -> None:
        self._step = TrainingStep(cfg, 2, device)
        self.model: Any = self._step.bare_model
        if not isinstance(getattr(self.model, 'contrast_head', None), InfoNCEHead):
            raise InputError('The model of the config has no InfoNCEHead as contrast_head, whose '
                             'cost grows with the number of pairs.')
        if not isinstance(self.model.backbone, MAEViT):
            raise InputError(f'The encoder of the config is {type(self.model.backbone).__name__}, '
                             'whose output has no known shape: give one of vicmae_mm.ViCMAEViT.')
        self.model.contrast_head = self.head = OneOfMany(processes, self.model.contrast_head)
        self.set_pairs(pairs)

    def set_pairs(self, pairs: int) -> None:
        """Make what the encoder would return for so many pairs."""
        backbone, device = self.model.backbone, self._step.device
        visible = int(backbone.num_patches * (1 - backbone.mask_ratio))
        self._tokens = torch.randn(
            2 * pairs, 1 + visible, backbone.embed_dims, device=device, requires_grad=True)
        self._videos = torch.arange(pairs, device=device)

    def __call__(self) -> None:
        # the monitors are of all pairs, which only a process among others gathers
        with (self._step.optim_wrapper.optim_context(self._step.model),
              patch.object(monitors, 'get_world_size', lambda: self.head.processes)):
            losses = self.model._contrast_loss(self._tokens, self._videos, 1., {})
        losses['loss_contrast'].backward()
        self.model.zero_grad()
        self._tokens.grad = None


@dataclass(frozen=True)
class ContrastCount:
    """What the contrastive part needs."""
    projector: int  # floating-point operations
    similarities: int  # floating-point operations of the contrast and the monitors
    peak: int  # bytes at a time, including the encoder's output
    width: int  # channels of an embedding


def count_contrast(cfg: Config, pairs: int, processes: int) -> ContrastCount:
    """Count what a :class:`ContrastPart` would do, on fake tensors."""
    part = ContrastPart(without_hooks(cfg), 2, processes, CPU)
    with fake_tensors(part.model) as live, FlopCounterMode(display=False) as counter:
        part.set_pairs(pairs)
        part()
    projector = sum(counter.get_flop_counts().get('Projector', {}).values())
    return ContrastCount(
        projector, counter.get_total_flops() - projector, live.peak, part.head.width)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, clock=True)
    add_number(parser, '--pairs', 4096, 'pairs of the batch, over all processes')
    add_number(parser, '--processes', 8, 'how many contribute pairs')
    add_number(parser, '--rounds', 5, 'how often everything is timed')
    parser.add_argument('--gather', action='store_true', help='time the gather in real processes, '
                        'by NCCL with a GPU for each, else by gloo')


@quiet_logs()
def run(args: argparse.Namespace) -> None:
    if args.processes < 2 or args.pairs % args.processes or args.rounds < 1:
        raise InputError('--processes must be above 1, --pairs a multiple of it, --rounds above 0.')
    cfg = read_config(args)
    device = select_device(args.device)
    batch = args.pairs // args.processes
    print_machine('mmengine', 'mmpretrain')
    counts = {pairs: count_contrast(cfg, pairs, args.processes)
              for pairs in (batch, args.pairs) if pairs in (batch, min(args.pairs, MOST_PAIRS))}
    rest_flops = count_flops(without_contrast(cfg))
    print(f'the rest of the step: {rest_flops / 1e9:.4g} GFLOP per pair')
    header = ['pairs x processes', 'projector, GFLOP', 'similarities, GFLOP', 'of all operations',
              'gathered, MiB', 'similarities, MiB in chunks', 'at a time, MiB', 'float32 products',
              'ms       ', 'rest of the step, ms', 'of all time']
    print_table(header, _rows(cfg, args, counts, rest_flops, device))
    if args.gather:
        width = counts[batch].width
        gpus = torch.cuda.device_count() >= args.processes
        kind, backend = ('cuda', 'NCCL') if gpus else ('cpu', 'gloo')
        seconds = run_processes(_time_gather, args.processes, kind, (batch, 2, width), args.rounds)
        print(f'gather of {mib(8 * args.pairs * width)} MiB and the way back of its '
              f'gradient, {args.processes} processes by {backend}: {seconds * 1e3:.1f} ms')


def _rows(cfg: Config, args: argparse.Namespace, counts: dict[int, ContrastCount],
          rest_flops: float, device: torch.device) -> Iterator[list[str]]:
    for pairs, count in counts.items():
        flops, all_pairs = count.projector + count.similarities, pairs * args.processes
        counted = [f'{count.projector / 1e9:.1f}', f'{count.similarities / 1e9:.1f}',
                   f'{flops / (flops + rest_flops * pairs):.2%}',
                   mib(8 * all_pairs * count.width),
                   f'{mib(8 * all_pairs * pairs)} in {-(-2 * all_pairs * pairs // AT_ONCE)}',
                   mib(count.peak)]
        for precision in PRECISIONS[device.type]:
            torch.set_float32_matmul_precision(precision)
            measured = ['not measured', '', '']
            if device.type == 'cuda' or count.peak <= CPU_BYTES:
                with doing(f'contrast of {pairs} pairs a process'):
                    seconds = or_none(partial(_time, cfg, pairs, args, device))
                measured = ['out of memory', '', ''] if seconds is None else [
                    f'{seconds[0] * 1e3:.1f}', f'{seconds[1] * 1e3:.0f}',
                    f'{seconds[0] / sum(seconds):.2%}']
            yield [f'{pairs} x {args.processes}', *counted, precision, *measured]


def _time(cfg: Config, pairs: int, args: argparse.Namespace,
          device: torch.device) -> tuple[float, float]:
    """Return the seconds of the contrastive part, and of the rest of a step of as many pairs."""
    step_pairs = STEP_PAIRS[device.type]
    contrast, rest = median_seconds(
        [ContrastPart(cfg, pairs, args.processes, device),
         TrainingStep(without_contrast(cfg), step_pairs, device)],
        Clock(args.clock, device), args.rounds)
    return contrast, rest * pairs / step_pairs


def _time_gather(device: torch.device, shape: tuple[int, ...], rounds: int) -> float:
    rows = torch.randn(shape, device=device, requires_grad=True)
    seconds, = median_seconds([lambda: gather_with_grad(rows).sum().backward()],
                              Clock(device=device), rounds)
    return seconds
