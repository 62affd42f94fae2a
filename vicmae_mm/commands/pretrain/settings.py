"""The settings of ``vicmae pretrain``, chosen from the data and the machine."""
from __future__ import annotations

import argparse
import inspect
import math
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from vicmae_mm.commands.image_size import set_image_size
from vicmae_mm.commands.options import merge_settings
from vicmae_mm.commands.run_length import nested_dicts, set_epochs
from vicmae_mm.utils.carried_files import carried_folder
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.processes.pool import num_cores

from .first_network import find_network
from .sources import TrainingSource, find_source

DEFAULT_MODEL = 'vit-s16'
_BASES = carried_folder('configs') / '_base_'
NETWORKS = {path.stem.removeprefix('vicmae_'): path.stem
            for path in sorted((_BASES / 'models').glob('vicmae*.py'))}
# By the width of the encoder: MiB per pair, 196 patches per frame, in fp32 (benchmarks/run.py
# memory; ViT-L and H from the sizes of their layers), and GiB of weights and optimizer.
_MEMORY = {384: (134, 1.), 768: (162, 2.3), 1024: (255, 6.), 1280: (380, 11.)}
_KEPT = {*inspect.signature(Runner).parameters, 'find_unused_parameters', 'image_size', 'epochs'}
_CPU_STEPS, _CPU_IMAGE = 400, 96  # minutes on two cores


class _Device(NamedTuple):
    """What is trained on: how many of them, and the free memory of each; None on a CPU."""

    number: int
    gib: float | None


def choose_settings(args: argparse.Namespace) -> tuple[Config, list[str]]:
    """Make the config of a run.

    Args:
        args: The options of tools/pretrain.py; those that are None are chosen.

    Returns:
        A complete config, and a line of words for each choice.

    Raises:
        FileNotFoundError, ValueError: What was asked for is not there or does not fit.
    """
    device = _find_device(args.devices)
    source = find_source(args.data, args.use, args.prefix, os.path.join(args.out, 'videos.txt'))
    cfg, about = _assemble(args, source)
    about += [_set_image_size(cfg, args.image_size, device)]
    if source.number < 2 * device.number:
        raise InputError(f'{args.data} has {source.words}, of which contrast needs at least two '
                         'for each device: give more, or longer videos, which are cut.')
    batch, why = _batch(cfg, source.number, device)
    loader, total = cfg.train_dataloader, (args.batch_size or batch) * device.number
    loader.batch_size = args.batch_size or batch
    about += [f'batch: {loader.batch_size} pairs per device, ' + (
        'as asked' if args.batch_size else why), _set_rate(cfg, args.lr, total)]
    about += [_set_length(cfg, args, source.number // total, device)]
    share = num_cores() // device.number
    usual = min(16, max(1, share - 1)) if device.gib else min(8, max(1, share // 4))
    loader.num_workers = usual if args.workers is None else args.workers
    loader.persistent_workers = loader.num_workers > 0
    about += [f'workers: {loader.num_workers} per device read the data, '
              + (f'of {num_cores()} cores' if args.workers is None else 'as asked')]
    cfg.randomness.seed = args.seed
    cfg.default_hooks.checkpoint.interval_minutes = 10 if device.gib else 2
    cfg.default_hooks.reconstruction.interval = max(1, cfg.epochs // 5)
    about += [f'checkpoints: every {10 if device.gib else 2} minutes, the newest '
              f'{cfg.default_hooks.checkpoint.max_keep_ckpts} are kept']
    if args.probe:
        cfg.default_hooks.probe.update(images=os.path.abspath(args.probe),
                                       interval=max(1, cfg.epochs // 10))
    about += [f'probes: of {args.probe}, about ten in the run' if args.probe else
              'probes: none; --probe FOLDER of labelled photos measures the features']
    merge_settings(cfg, args.cfg_options)
    return cfg, about


def _find_device(wanted: int) -> _Device:
    gpus = torch.cuda.device_count()
    if wanted > (gpus or num_cores()):
        raise InputError(f'--devices {wanted}: this machine has '
                         f'{f"{gpus} GPU(s)" if gpus else f"no GPU, and {num_cores()} core(s)"}.')
    free = [torch.cuda.mem_get_info(index)[0] / 2**30 for index in range(wanted if gpus else 0)]
    return _Device(wanted, min(free) if free else None)


def _assemble(args: argparse.Namespace, source: TrainingSource) -> tuple[Config, list[str]]:
    """The shipped bases with the datasets and the network."""
    name = args.model or DEFAULT_MODEL
    if name not in NETWORKS:
        raise InputError(f'There is no model {name!r}: choose one of {", ".join(NETWORKS)}.')
    has_images, is_packed = 'images' in source.datasets, 'packed' in source.datasets
    data = ('in1k-k400_pairs' if has_images else
            'k400_packed_frames' if is_packed else 'k400_frame_pairs')
    constant = '_constant' * NETWORKS[name].startswith('vicmae-')  # later recipes
    schedule = 'adapt_adamw_1024_100e' if args.init else f'adamw_4096_800e{constant}'
    bases = [f'datasets/{data}', f'models/{NETWORKS[name]}', f'schedules/{schedule}']
    with TemporaryDirectory() as folder:
        file = Path(folder) / 'merged.py'
        file.write_text(f'_base_ = {[str(_BASES / f"{each}.py") for each in bases]}\n')
        cfg = Config.fromfile(file)
    usual = cfg.train_dataloader.dataset
    mixed = {kind: {**(cfg.in1k if kind == 'images' else cfg.k400 if has_images else usual),
                    **settings} for kind, settings in source.datasets.items()}
    cfg.train_dataloader.dataset = next(iter(mixed.values())) if len(mixed) == 1 else dict(
        type='vicmae_mm.MixedPairs', datasets=mixed)
    about = [f'data: {source.words}']
    about += ['model: ' + (find_network(args.init, args.model, cfg) if args.init else
                           f'{name}, untrained')]
    return Config({key: value for key, value in cfg.items() if key in _KEPT}), about


def _set_image_size(cfg: Config, wanted: str | None, device: _Device) -> str:
    size, patch = cfg.model.backbone.img_size, cfg.model.backbone.patch_size
    for settings in nested_dicts(cfg.train_dataloader):
        if str(settings.get('type')).endswith('RandomCropFlip'):
            settings['scale'] = size  # first that of the network
    is_small = wanted is None and not device.gib and isinstance(size, int) and size > _CPU_IMAGE
    if is_small:
        wanted = str(max(1, round(_CPU_IMAGE / patch)) * patch)
    if wanted:
        cfg.image_size = int(wanted) if wanted.isdigit() else wanted
        set_image_size(cfg)
    return f'image size: {cfg.model.backbone.img_size} px' + (
        f' in place of {size}, since a CPU is slow' if is_small else '')


def _batch(cfg: Config, number: int, device: _Device) -> tuple[int, str]:
    """Pairs per device, a power of two, and why."""
    limits = {'so that an epoch has at least three steps': number // (3 * device.number)}
    grid, width = cfg.model.decoder.num_patches, cfg.model.decoder.embed_dim
    if device.gib is None:
        limits['which a CPU has time for'] = 8 if width > 192 else 32
    else:
        patches = grid if isinstance(grid, int) else math.prod(grid)
        mib, fixed = next((each for most, each in _MEMORY.items() if width <= most), (500, 20.))
        pairs = (0.8 * device.gib - fixed) * 1024 / (mib * patches / 196)
        limits[f'which {device.gib:.0f} GiB of free memory hold'] = int(pairs)
        limits['as in the paper'] = min(512, 4096 // device.number)
    why, most = min(limits.items(), key=lambda each: each[1])
    return 2 ** max(1, int(math.log2(max(most, 2)))), why


def _set_rate(cfg: Config, wanted: float | None, total: int) -> str:
    """The square root rule for Adam (arXiv 2205.10287): noise and rate keep their ratio."""
    base, pairs = cfg.optim_wrapper.optimizer.lr, cfg.auto_scale_lr.base_batch_size
    rate = max(base * math.sqrt(total / pairs), base / 8)
    cfg.optim_wrapper.optimizer.lr = wanted or float(f'{rate:.2g}')
    cfg.auto_scale_lr.base_batch_size = total  # it is the rate of this batch
    return f'learning rate: {cfg.optim_wrapper.optimizer.lr:.2g}, ' + (
        'as asked' if wanted else f'{base:.2g} for {pairs:,} pairs, scaled to {total:,} by the '
        'square root of their ratio, to an eighth at most')


def _set_length(cfg: Config, args: argparse.Namespace, steps: int, device: _Device) -> str:
    """Epochs, schedules and contrast; ``steps`` are those of an epoch."""
    usual, least = cfg.train_cfg.max_epochs, 12.5 * cfg.train_cfg.max_epochs
    enough = math.ceil((least if device.gib else _CPU_STEPS) / max(steps, 1))
    epochs = args.epochs or (max(usual, enough) if device.gib else enough)
    set_epochs(cfg, epochs)
    warm_up, decay = cfg.param_scheduler
    if warm_up.end * steps < 2:  # a single step would stay at its first rate
        decay.begin = 0
        cfg.param_scheduler = [decay]
    why = 'as asked' if args.epochs else (
        'a demonstration, since a CPU is slow: features need a GPU, or a larger --epochs'
        if device.gib is None else f"the paper's {usual}" if epochs == usual else
        f'for {least:,.0f} steps at least')
    return f'length: {epochs} epochs of {steps} steps, {why}'
