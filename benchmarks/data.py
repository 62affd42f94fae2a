"""What the data side of pre-training costs when it feeds a GPU.

Reads with the train_dataloader of a config, as train.py builds it; nothing is trained. Prints the
pairs a second that its workers deliver here, where their time goes, what the process that trains
pays for a pair, and the cores that a GPU needs.

  python benchmarks/run.py data configs/vicmae_vit-b16_k400.py
  python benchmarks/run.py data configs/vicmae_vit-b16_k400.py --gpu-rate 1870 --workers 8 \\
      --cfg-options train_dataloader.batch_size=64
"""
import argparse
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from torch.utils.data import ConcatDataset, DataLoader

from vicmae_mm.commands.options import add_device
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.processes.pool import num_cores

from .config_options import add_config, read_config
from .data_delivery import Delivery, Handover, count_pairs, measure_delivery, measure_handover
from .data_stages import measure_isolation, measure_random_stream, measure_stages
from .measuring import describe_machine, markdown_table

SUMMARY = 'what reading the data costs, and how many cores a GPU needs for it'
GPU_RATES = (1000., 2000., 3400.)  # ViT-B/16 on an H200: between a third and all of what it could
_NUM_ROUNDS = 3  # of all workers, at least
_HANDOVER_PAIRS = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_config(parser)
    parser.add_argument(
        '--gpu-rate', nargs='+', type=float, default=GPU_RATES, metavar='PAIRS_PER_S',
        help='how fast a GPU trains; benchmarks/run.py step measures it. Default: 1000 2000 3400')
    parser.add_argument(
        '--workers', type=int, metavar='N',
        help="default: the config's, at most one for each core of this machine")
    parser.add_argument(
        '--samples', type=int, default=64, metavar='N',
        help='samples whose stages are timed one by one; default: %(default)s')
    parser.add_argument(
        '--seconds', type=float, default=20., metavar='S',
        help='how long batches are taken, at least; default: %(default)s')
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and print.

    Raises:
        ValueError: An option is out of its range, or the config has no pictures to train on.
    """
    cfg = _prepare_config(args)
    loader = _build_loader(cfg)
    indices = list(islice(loader.sampler, args.samples))
    print(describe_machine('mmengine', 'av', 'opencv-python'))
    print(f'{args.config}: {loader.batch_size} samples a batch, {loader.num_workers} workers')
    stages, samples = measure_stages(loader.dataset, indices)
    _check_pictures(samples[0], args.config)
    pairs = count_pairs(loader.collate_fn(samples[:1])['inputs'])
    own = dict(stream=measure_random_stream(indices[0]) / pairs,
               isolation=measure_isolation(loader.dataset, samples[0]) / pairs)
    handovers = _measure_handovers(cfg, loader, samples, args.device)
    delivery = measure_delivery(loader, args.seconds)
    print(f'\n{delivery.rate:,.1f} pairs/s from {loader.num_workers} workers, which spend '
          f'{_ms(delivery.workers)} ms of CPU a pair\n')
    print(_stage_table({name: seconds / pairs for name, seconds in stages.items()}, own,
                       handovers['config'].worker))
    print(f'\n{_handover_table(handovers, args.device)}\n')
    print(_core_table(args.gpu_rate, delivery, handovers['config']))


def _prepare_config(args: argparse.Namespace) -> Config:
    """The config, with ``train_dataloader`` as it is read here."""
    for name in ('samples', 'seconds', 'workers'):
        value = getattr(args, name)
        if value is not None and value <= 0:
            raise InputError(f'--{name} {value} should be above 0.')
    if min(args.gpu_rate) <= 0:
        raise InputError('--gpu-rate should be pairs a second, above 0.')
    cfg = read_config(args)
    if cfg.get('train_dataloader') is None:
        raise InputError(f'{args.config} has no train_dataloader, so there is nothing to read.')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    loader = cfg.train_dataloader
    loader.num_workers = args.workers or max(
        1, min(loader.get('num_workers', 1), num_cores()))
    loader.pin_memory = torch.device(args.device).type != 'cpu'
    set_multi_processing(**cfg.get('env_cfg', {}).get('mp_cfg', {}))
    torch.set_num_threads(1)  # as a worker's
    return cfg


def _build_loader(cfg: Config) -> DataLoader:
    """As the runner builds it; a small dataset is repeated until all workers have enough to do."""
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    size = len(loader.dataset)
    wanted = _NUM_ROUNDS * loader.num_workers * cfg.train_dataloader.batch_size
    if size < wanted:
        times = -(-wanted // size)
        print(f'{size:,} samples make too short an epoch: they are read {times} times over.')
        repeated: ConcatDataset = ConcatDataset([loader.dataset] * times)
        loader = Runner.build_dataloader(dict(cfg.train_dataloader, dataset=repeated), seed=0)
    return loader


def _check_pictures(sample: Any, config: str) -> None:
    inputs = sample['inputs'] if isinstance(sample, dict) else None
    views = inputs if isinstance(inputs, list) else [inputs]
    if not all(isinstance(view, torch.Tensor) and view.ndim == 3 for view in views):
        raise InputError(
            f'{config}: its samples are not pictures (C, H, W), alone or several of a video, as '
            'those of pre-training are. For tests on clips there is benchmarks/run.py views.')


def _measure_handovers(cfg: Config, loader: DataLoader, samples: Sequence[Any],
                       device: str) -> dict[str, Handover]:
    """With the config's collate function, and with mmengine's, which leaves stacking to others."""
    settings = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or dict(
        type='vicmae_mm.PairDataPreprocessor')
    preprocessor = MODELS.build(settings).to(device)
    batch_size = cfg.train_dataloader.batch_size
    batches = min(64, max(4, _HANDOVER_PAIRS // batch_size))
    return {name: measure_handover(samples, collate, batch_size, preprocessor, device, batches)
            for name, collate in (('config', loader.collate_fn), ('pseudo', pseudo_collate))}


def _stage_table(stages: Mapping[str, float], own: Mapping[str, float], handover: float) -> str:
    total = sum(stages.values()) + own['isolation'] + handover
    rows = [(name, seconds) for name, seconds in stages.items() if name != 'all else']
    rows += [('random streams of a sample', own['stream']),
             ('its record, and what else a dataset does', stages['all else'] - own['stream']),
             ('to and from a process of its own', own['isolation']),
             ('collating and sending', handover), ('all of these', total)]
    rows = [(name, seconds) for name, seconds in rows if seconds]
    return markdown_table(
        ('in a worker', 'CPU ms a pair', 'share'),
        [(name, _ms(seconds), f'{seconds / total:.1%}') for name, seconds in rows])


def _handover_table(handovers: Mapping[str, Handover], device: str) -> str:
    names = dict(config="the config's collate_fn", pseudo='pseudo_collate, stacked on arrival')
    return markdown_table(
        ('in the process that trains, CPU ms a pair', 'receive' if device == 'cpu' else
         'receive, pin', 'stack', f'to {device}', 'sum', f'normalise on {device}'),
        [(names[name], _ms(cost.receive), _ms(cost.stack), _ms(cost.to_device), _ms(cost.main),
          _ms(cost.normalise)) for name, cost in handovers.items()])


def _core_table(rates: Sequence[float], delivery: Delivery, handover: Handover) -> str:
    return markdown_table(
        ('pairs/s of a GPU', 'cores for its workers', 'of the core of the process that trains'),
        [(f'{rate:,.0f}', f'{rate * delivery.workers:.1f}', f'{rate * handover.main:.0%}')
         for rate in rates])


def _ms(seconds: float) -> str:
    return f'{1000 * seconds:.3f}'
