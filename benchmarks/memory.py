"""Memory of a training step, the largest batch, and what ways of saving memory cost in speed.

A variant is the config with other settings. Without --variant, these are compared: checkpointing
the blocks of the encoder, of the decoder and of both, and decoding in chunks. On a GPU, the command
also searches for the largest batch that fits.

  vicmae benchmark memory configs/vicmae_vit-b16_k400.py --batch-size 256 \\
      --variant '4 chunks' model.decoder_chunks=4 --variant '8 chunks' model.decoder_chunks=8
"""
import argparse
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from vicmae_mm.commands.options import KeepText, between, merge_settings, positive
from vicmae_mm.utils.errors import InputError

from .options import add_config, add_number, read_config, select_device
from .output import doing, mib, print_machine, print_table, quiet_logs
from .step_costs import MEMORY, StepCost, measure_steps, memory_of, or_none, peak_memory
from .training_step import TrainingStep

PLAIN = 'the config'
BATCH = {'cuda': 128, 'cpu': 4}


class _Variant(KeepText):
    """Collects ``NAME KEY=VALUE ...`` as ``{NAME: {KEY: VALUE}}``."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        found = argparse.Namespace(variant=None)
        super().__call__(parser, found, values[1:], option)
        namespace.variant = (namespace.variant or {}) | {values[0]: found.variant}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, clock=True)
    parser.add_argument('--batch-size', type=positive, metavar='PAIRS',
                        help='pairs per step; default: {cuda}, on a CPU {cpu}'.format(**BATCH))
    parser.add_argument('--variant', nargs='+', action=_Variant, metavar=('NAME', 'KEY=VALUE'),
                        help='settings to compare with the config; may be given several times')
    add_number(parser, '--steps', 5, 'timed steps; 0 on a CPU: only count the memory',
               kind=between(int, 0, 10**6))


@quiet_logs()
def run(args: argparse.Namespace) -> None:
    device = select_device(args.device)
    batch = args.batch_size or BATCH[device.type]
    if batch < 2 or args.steps < (device.type == 'cuda'):
        raise InputError('--batch-size must be 2 or more; --steps 1 or more, on a CPU 0 or more.')
    cfg = read_config(args)
    settings = {PLAIN: {}, **(args.variant or _usual_settings(cfg))}
    variants = {name: Config(cfg.to_dict()) for name in settings}
    for name, variant in variants.items():
        merge_settings(variant, settings[name])
    print_machine('mmengine', 'mmpretrain')
    costs: Mapping[str, StepCost | None] = dict.fromkeys(variants, StepCost(np.empty(0), None))
    if args.steps:
        with doing(f'{args.steps} steps of {batch} pairs of each variant'):
            costs, _ = measure_steps(device, variants, batch, args.steps, args.clock)
    header = ['variant'.ljust(max(map(len, variants))), f'{batch} pairs: {MEMORY[device.type]}',
              'speed / config']
    if device.type == 'cuda':
        header += ['MiB per pair', 'largest batch']
    print_table(header, _rows(variants, device, batch, costs))


def _usual_settings(cfg: Config) -> dict[str, dict]:
    model = TrainingStep(cfg, 2, torch.device('cpu')).bare_model
    if not model.with_neck:
        raise InputError('The default variants are of a masked autoencoder, but the config has '
                         'no decoder: name your own, --variant NAME KEY=VALUE ...')
    # each block by name: mmengine ignores a list of blocks
    encoder = [f'backbone.layers.{n}' for n in range(len(model.backbone.layers))]
    decoder = [f'neck.decoder_blocks.{n}' for n in range(len(model.neck.decoder_blocks))]
    return {
        'encoder checkpointed': dict(activation_checkpointing=encoder),
        'decoder checkpointed': dict(activation_checkpointing=decoder),
        'both checkpointed': dict(activation_checkpointing=encoder + decoder),
        'decoder in 4 chunks': {'model.decoder_chunks': 4},
        'encoder checkpointed, decoder in 4 chunks': {
            'activation_checkpointing': encoder, 'model.decoder_chunks': 4}}


def _rows(variants: Mapping[str, Config], device: torch.device, batch: int,
          costs: Mapping[str, StepCost | None]) -> Iterator[list[str]]:
    plain = costs[PLAIN]
    for name, cfg in variants.items():
        with doing(f'largest batch and bytes: {name}'):
            cost, row = costs[name], [name, 'out of memory', '']
            if cost is not None:
                row[1] = mib(memory_of(cost, cfg, batch))
                if plain is not None and len(plain.seconds):
                    row[2] = f'{np.median(plain.seconds / cost.seconds):.2f}'
            if device.type == 'cuda':
                found = or_none(partial(_scale, cfg, device, batch))
                row += [mib(found[0]), f'{found[1]:,}'] if found else ['', '']
        yield row


def _scale(cfg: Config, device: torch.device, batch: int) -> tuple[float, int]:
    """Return the bytes that one more pair needs, and the largest batch that fits."""
    step = TrainingStep(cfg, batch // 2, device)
    step()
    half = peak_memory(step)
    step.set_batch_size(batch)
    per_pair = (peak_memory(step) - half) / (batch - batch // 2)

    def two_steps(pairs: int) -> bool:
        step.set_batch_size(pairs)
        for _ in range(2):
            step()
        torch.cuda.synchronize(device)
        return True

    def fits(pairs: int) -> bool:
        done = or_none(partial(two_steps, pairs))
        # gradients of a backward pass that was interrupted
        step.optim_wrapper.zero_grad()
        return bool(done)

    largest, too_large = batch, 2 * batch
    while fits(too_large):
        largest, too_large = too_large, 2 * too_large
    # to 3 %: each try costs two steps
    while too_large - largest > max(1, largest // 32):
        middle = (largest + too_large) // 2
        largest, too_large = (middle, too_large) if fits(middle) else (largest, middle)
    return per_pair, largest
