"""What memory a training step needs, and what ways of saving it cost in speed.

A variant is the config with other settings. Without --variant these are compared: the encoder's
blocks checkpointed, those of the decoder, both, and decoding in chunks. On a GPU, steps of ever
larger batches tell which is the largest that fits.

  python benchmarks/run.py memory configs/vicmae_vit-b16_k400.py --batch 256
  python benchmarks/run.py memory configs/vicmae_vit-b16_k400.py \\
      --variant '4 chunks' model.decoder_chunks=4 --variant '8 chunks' model.decoder_chunks=8
"""
import argparse
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from vicmae_mm.commands.options import KeepSpaces
from vicmae_mm.utils.errors import InputError

from .config_options import add_config, read_config
from .measuring import (
    add_clock_and_device,
    describe_machine,
    mib,
    print_table,
    select_device,
    speed_up,
)
from .progress import doing
from .step_measurement import MEMORY, StepCost, measure_steps, memory_of, or_none, peak_memory
from .training_step import TrainingStep, quiet_logs

SUMMARY = 'memory of a training step, and the largest batch'
PLAIN = 'the config'
BATCH = {'cuda': 128, 'cpu': 4}


class _Variant(KeepSpaces):
    """Collects ``NAME KEY=VALUE ...`` as ``{NAME: {KEY: VALUE}}``."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Any, option_string: str | None = None) -> None:
        """Add a variant."""
        found = argparse.Namespace(**{self.dest: None})
        super().__call__(parser, found, values[1:], option_string)
        variants = getattr(namespace, self.dest) or {}
        setattr(namespace, self.dest, variants | {values[0]: getattr(found, self.dest)})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_config(parser)
    parser.add_argument(
        '--batch', type=int, metavar='PAIRS', help='pairs a step; default: {cuda}, on a CPU {cpu}'
        .format(**BATCH))
    parser.add_argument(
        '--variant', nargs='+', action=_Variant, metavar=('NAME', 'KEY=VALUE'),
        help='settings to compare with the config; may be given several times')
    parser.add_argument(
        '--steps', type=int, default=5,
        help='steps that are timed; default: %(default)s. 0 on a CPU: count the memory alone')
    add_clock_and_device(parser)


@quiet_logs()
def run(args: argparse.Namespace) -> None:
    """Measure and print.

    Raises:
        ValueError: For a batch of less than 2 pairs, no steps on a GPU, or a model without decoder
            and no variants.
    """
    device = select_device(args.device)
    batch = args.batch or BATCH[device.type]
    if batch < 2 or args.steps < (device.type == 'cuda'):
        raise InputError('--batch must be 2 or more; --steps 1 or more, on a CPU 0 or more')
    variants = _variants(read_config(args), args.variant)
    print(describe_machine('mmengine', 'mmpretrain'))
    costs: Mapping[str, StepCost | None]
    if args.steps:
        with doing(f'{args.steps} steps of {batch} pairs of each variant'):
            costs, _ = measure_steps(device, variants, batch, args.steps, args.clock)
    else:
        costs = dict.fromkeys(variants, StepCost(np.empty(0), None))
    width = max(map(len, variants))
    print_table(
        ['variant'.ljust(width), f'{batch} pairs: {MEMORY[device.type]}', 'speed / config',
         *(['MiB for a pair', 'largest batch'] if device.type == 'cuda' else [])],
        _rows(variants, device, batch, costs))


def _rows(variants: Mapping[str, Config], device: torch.device, batch: int,
          costs: Mapping[str, StepCost | None]) -> Iterator[list[str]]:
    for name, cfg in variants.items():
        with doing(f'largest batch and bytes: {name}'):
            row = _row(name, cfg, batch, costs)
            if device.type == 'cuda':
                found = or_none(partial(_scale, cfg, device, batch))
                row += [mib(found[0]), f'{found[1]:,}'] if found else ['', '']
        yield row


def _variants(cfg: Config, named: dict[str, dict] | None) -> dict[str, Config]:
    settings: dict[str, dict] = {PLAIN: {}, **(named or _usual_settings(cfg))}
    variants = {name: Config(cfg.to_dict()) for name in settings}
    for name, variant in variants.items():
        variant.merge_from_dict(settings[name])
    return variants


def _usual_settings(cfg: Config) -> dict[str, dict]:
    model = TrainingStep(cfg, 2, torch.device('cpu')).bare_model
    if not model.with_neck:
        raise InputError('The usual variants save memory of a masked autoencoder, and the model of '
                         'the config has no decoder: name your own, --variant NAME KEY=VALUE ...')
    encoder = [f'backbone.layers.{n}' for n in range(len(model.backbone.layers))]
    decoder = [f'neck.decoder_blocks.{n}' for n in range(len(model.neck.decoder_blocks))]
    return {
        'encoder checkpointed': dict(activation_checkpointing=encoder),
        'decoder checkpointed': dict(activation_checkpointing=decoder),
        'both checkpointed': dict(activation_checkpointing=encoder + decoder),
        'decoder in 4 chunks': {'model.decoder_chunks': 4},
        'encoder checkpointed, decoder in 4 chunks': {
            'activation_checkpointing': encoder, 'model.decoder_chunks': 4},
    }


def _row(name: str, cfg: Config, batch: int,
         costs: Mapping[str, StepCost | None]) -> list[str]:
    cost, plain = costs[name], costs[PLAIN]
    if cost is None:
        return [name, 'out of memory', '']
    row = [name, mib(memory_of(cost, cfg, batch))]
    if plain is None or not len(plain.seconds):
        return [*row, '']
    return [*row, f'{speed_up(plain.seconds, cost.seconds)[0]:.2f}']


def _scale(cfg: Config, device: torch.device, batch: int) -> tuple[float, int]:
    """Bytes that a further pair needs, and the largest batch that fits."""
    step = TrainingStep(cfg, batch // 2, device)
    step()
    half = peak_memory(step)
    step.set_batch_size(batch)
    a_pair = (peak_memory(step) - half) / (batch - batch // 2)
    fits, too_large = batch, 2 * batch
    while _fits(step, too_large):
        fits, too_large = too_large, 2 * too_large
    while too_large - fits > max(1, fits // 32):
        middle = (fits + too_large) // 2
        fits, too_large = (middle, too_large) if _fits(step, middle) else (fits, middle)
    return a_pair, fits


def _fits(step: TrainingStep, batch: int) -> bool:
    """Whether two steps of so many pairs have room on the GPU."""
    fits = or_none(partial(_try, step, batch)) is not None
    step.optim_wrapper.zero_grad()  # of a backward pass that broke off
    return fits


def _try(step: TrainingStep, batch: int) -> bool:
    step.set_batch_size(batch)
    for _ in range(2):
        step()
    torch.cuda.synchronize(step.device)
    return True
