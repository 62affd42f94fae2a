"""Measure how fast data is read, and the cores a GPU needs.

Reads with the train_dataloader of a config, as `vicmae train` builds it; nothing is trained. Prints
the pairs per second that its workers deliver here, where their time goes, what the training process
pays per pair, and the cores that a GPU needs.

  vicmae benchmark-data configs/vicmae_vit-b16_k400.py --gpu-rate 1870 --workers 8 \\
      --cfg-options train_dataloader.batch_size=64
"""
import argparse
from functools import partial
from itertools import islice
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from torch.utils.data import ConcatDataset, DataLoader

from vicmae_mm.commands.options import positive
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.processes.batch_ring import ring_collate
from vicmae_mm.utils.processes.pool import num_cores

from . import data_costs
from .options import add_config, add_number, read_config
from .output import doing, print_machine, print_table
from .timing import REST


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    # ViT-B/16 on an H200: from a third to all of what it could do
    add_number(parser, '--gpu-rate', [1000., 2000., 3400.], 'how fast a GPU trains, as measured '
               'by vicmae benchmark step', 'PAIRS_PER_S')
    parser.add_argument('--workers', type=positive, metavar='N',
                        help="default: the config's, at most one for each core of this machine")
    add_number(parser, '--samples', 64, 'samples whose stages are timed one by one')
    add_number(parser, '--seconds', 20., 'how long batches are taken, at least', 'S')


def run(args: argparse.Namespace) -> None:
    cfg, loader = _build_loader(args)
    indices = list(islice(loader.sampler, args.samples))
    print_machine('mmengine', 'av', 'opencv-python')
    print(f'{args.config}: {loader.batch_size} samples a batch, {loader.num_workers} workers')
    with doing('Reading samples, stage by stage'):
        stages, samples = data_costs.measure_stages(loader.dataset, indices)
    _check_images(samples[0], args.config)
    pairs = data_costs.count_pairs(loader.collate_fn(samples[:1])['inputs'])
    stream, isolation = data_costs.measure_overheads(loader.dataset, indices[0], samples[0])
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or dict(
        type='vicmae_mm.PairDataPreprocessor')
    handover = partial(
        data_costs.measure_handover, samples, batch_size=cfg.train_dataloader.batch_size,
        preprocessor=MODELS.build(preprocessor).to(args.device), device=args.device)
    # mmengine's collate function leaves stacking to the training process
    cost = handover(loader.collate_fn, ring=True)
    costs = {"the config's collate_fn": cost, 'the same in new memory': handover(loader.collate_fn),
             'pseudo_collate, stacked on arrival': handover(pseudo_collate)}
    loader.collate_fn = ring_collate(loader)
    with doing(f'Taking batches for {args.seconds:g} s'):
        rate, workers = data_costs.measure_delivery(loader, args.seconds)
    print(f'\n{rate:,.1f} pairs/s from {loader.num_workers} workers, which spend '
          f'{_ms(workers)} ms of CPU per pair\n')
    rest = stages.pop(REST)
    seconds = {name: spent / pairs for name, spent in (stages | {
        'random streams of a sample': stream,
        'its record, and what else a dataset does': rest - stream,
        'to and from a process of its own': isolation}).items()}
    seconds['collating and sending'] = cost.worker
    seconds['all of these'] = total = sum(seconds.values())
    print_table(('in a worker', 'CPU ms per pair', 'share'),
                [(name, _ms(spent), f'{spent / total:.1%}')
                 for name, spent in seconds.items() if spent])
    print()
    print_table(
        ('in the process that trains, CPU ms per pair', 'receive' if args.device == 'cpu' else
         'receive, pin', 'stack', f'to {args.device}', 'sum', f'normalise on {args.device}'),
        [(name, *map(_ms, (each.receive, each.stack, each.to_device, each.main, each.normalise)))
         for name, each in costs.items()])
    print()
    print_table(
        ('pairs/s of a GPU', 'cores for its workers', 'of the core of the process that trains'),
        [(f'{rate:,.0f}', f'{rate * workers:.1f}', f'{rate * cost.main:.0%}')
         for rate in args.gpu_rate])


def _build_loader(args: argparse.Namespace) -> tuple[Config, DataLoader]:
    """Read the config and build its ``train_dataloader`` as the runner does."""
    cfg = read_config(args)
    if cfg.get('train_dataloader') is None:
        raise InputError(f'{args.config} has no train_dataloader, so there is nothing to read.')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    settings = cfg.train_dataloader
    workers = args.workers or max(1, min(settings.get('num_workers', 1), num_cores()))
    settings.update(num_workers=workers, pin_memory=torch.device(args.device).type != 'cpu')
    set_multi_processing(**cfg.get('env_cfg', {}).get('mp_cfg', {}))
    # stages are timed in this process: one thread, as in a worker
    torch.set_num_threads(1)
    loader = Runner.build_dataloader(settings, seed=0)
    # three rounds of all workers, the first of which is not measured
    size, needed = len(loader.dataset), 3 * workers * settings.batch_size
    if size < needed:
        times = -(-needed // size)
        print(f'{size:,} samples make too short an epoch: they are read {times} times over.')
        repeated: ConcatDataset = ConcatDataset([loader.dataset] * times)
        loader = Runner.build_dataloader(dict(settings, dataset=repeated), seed=0)
    return cfg, loader


def _check_images(sample: Any, config: str) -> None:
    inputs = sample['inputs'] if isinstance(sample, dict) else None
    views = inputs if isinstance(inputs, list) else [inputs]
    if not all(isinstance(view, torch.Tensor) and view.ndim == 3 for view in views):
        raise InputError(f'{config}: its samples are not images (C, H, W), as in pre-training. '
                         'To measure tests on clips, use vicmae benchmark views.')


def _ms(seconds: float) -> str:
    return f'{1000 * seconds:.3f}'
