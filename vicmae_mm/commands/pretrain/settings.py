"""The settings of ``vicmae pretrain``, chosen from the data and the machine."""
from __future__ import annotations

import argparse
import inspect
import math
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

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
from .sources import find_source

DEFAULT_MODEL, CPU_MODEL = 'vit-s16', 'toy'
_BASES = carried_folder('configs') / '_base_'
NETWORKS = {path.stem.removeprefix('vicmae_'): path.stem
            for path in sorted((_BASES / 'models').glob('vicmae*.py'))}
# By the width of the encoder: MiB per pair, 196 patches per frame, in fp32 (benchmarks/run.py
# memory; ViT-L and H from the sizes of their layers), and GiB of weights and optimizer.
_MEMORY = {384: (134, 1.), 768: (162, 2.3), 1024: (255, 6.), 1280: (380, 11.)}
_KEPT = {*inspect.signature(Runner).parameters, 'find_unused_parameters', 'image_size', 'epochs'}
# Minutes on two cores. On 29 clips, the loss of a ViT-S stayed where it predicts a patch's colour.
_CPU_STEPS, _CPU_IMAGE, _CPU_TOY_IMAGE = 900, 96, '64'


def choose_settings(args: argparse.Namespace) -> tuple[Config, dict[str, str]]:
    """Make the complete config of a run, and say each choice in words.

    Options of tools/pretrain.py that are None are chosen.

    Raises:
        FileNotFoundError, ValueError: What was asked for is not there or does not fit.
    """
    datasets, number, words = find_source(
        args.data, args.use, args.prefix, os.path.join(args.out, 'videos.txt'))
    gpus = min(args.devices, torch.cuda.device_count())
    gib = min((torch.cuda.mem_get_info(each)[0] / 2**30 for each in range(gpus)), default=None)
    if number < 2 * args.devices:
        raise InputError(f'{args.data} has {words}, of which contrast needs at least two for each '
                         'device: give more, or longer videos, which are cut.')
    if is_demo := not (gib or args.init or args.model):
        args.model, args.image_size = CPU_MODEL, args.image_size or _CPU_TOY_IMAGE
    cfg, network = _assemble(args, datasets)
    network += f', since a CPU is slow for {DEFAULT_MODEL}' * is_demo
    about = {'data': words, 'model': network,
             'image size': _set_image_size(cfg, args.image_size, gib),
             'batch': _set_batch(cfg, args, number, gib)}
    total = cfg.train_dataloader.batch_size * args.devices
    if total > number:
        raise InputError(f'--batch-size {args.batch_size}: a step of {total:,} pairs is more than '
                         f'the {words}.')
    about['learning rate'] = _set_rate(cfg, args.lr, total, 0.125 if gib else 0.4)
    about['length'] = _set_length(cfg, args.epochs, number // total, gib)
    loader, share = cfg.train_dataloader, num_cores() // args.devices
    usual = min(16, max(1, share - 1)) if gib else min(8, max(1, share // 4))
    loader.num_workers = usual if args.workers is None else args.workers
    loader.persistent_workers = loader.num_workers > 0
    about['workers'] = f'{loader.num_workers} per device read the data'
    cfg.randomness.seed = args.seed
    cfg.default_hooks.checkpoint.interval_minutes = 10 if gib else 2
    cfg.default_hooks.reconstruction.interval = max(1, cfg.epochs // 5)
    if args.probe:
        cfg.default_hooks.probe.update(images=args.probe, interval=max(1, cfg.epochs // 10))
    merge_settings(cfg, args.cfg_options)
    return cfg, about


def _assemble(args: argparse.Namespace, datasets: Mapping[str, dict]) -> tuple[Config, str]:
    """The shipped bases with the datasets and the network; what that is, in words."""
    name = args.model or DEFAULT_MODEL
    if name not in NETWORKS:
        raise InputError(f'There is no model {name!r}: choose one of {", ".join(NETWORKS)}.')
    data = 'in1k-k400_pairs' if 'images' in datasets else (
        'k400_packed_frames' if 'packed' in datasets else 'k400_frame_pairs')
    constant = '_constant' * NETWORKS[name].startswith('vicmae-')  # later recipes
    schedule = 'adapt_adamw_1024_100e' if args.init else f'adamw_4096_800e{constant}'
    bases = [f'datasets/{data}', f'models/{NETWORKS[name]}', f'schedules/{schedule}']
    with TemporaryDirectory() as folder:
        file = Path(folder) / 'merged.py'
        file.write_text(f'_base_ = {[str(_BASES / f"{each}.py") for each in bases]}\n')
        cfg = Config.fromfile(file)
    usual = cfg.train_dataloader.dataset
    usual = dict(images=cfg.in1k, videos=cfg.k400) if 'images' in datasets else {
        kind: usual for kind in datasets}
    mixed = {kind: {**usual[kind], **settings} for kind, settings in datasets.items()}
    cfg.train_dataloader.dataset = next(iter(mixed.values())) if len(mixed) == 1 else dict(
        type='vicmae_mm.MixedPairs', datasets=mixed)
    words = find_network(args.init, args.model, cfg) if args.init else f'{name}, untrained'
    return Config({key: value for key, value in cfg.items() if key in _KEPT}), words


def _set_image_size(cfg: Config, wanted: str | None, gib: float | None) -> str:
    size, patch = cfg.model.backbone.img_size, cfg.model.backbone.patch_size
    is_small = not wanted and not gib and isinstance(size, int) and size > _CPU_IMAGE
    if wanted or is_small:
        small = max(1, round(_CPU_IMAGE / patch)) * patch
        merge_settings(cfg, dict(image_size=wanted or small))
        set_image_size(cfg)
    # The base of the data is for 224 px, which a network's own size may differ from.
    for settings in nested_dicts(cfg.train_dataloader):
        if 'scale' in settings:
            settings.scale = cfg.model.backbone.img_size
    return f'{cfg.model.backbone.img_size} px' + (
        f' in place of {size}, since a CPU is slow' if is_small else '')


def _set_batch(cfg: Config, args: argparse.Namespace, number: int, gib: float | None) -> str:
    """Pairs per device, a power of two."""
    limits = {'so that an epoch has at least three steps': number // (3 * args.devices)}
    grid, width = cfg.model.decoder.num_patches, cfg.model.decoder.embed_dim
    if gib is None:
        limits['which a CPU has time for'] = 8 if width > 192 else 32
    else:
        patches = grid if isinstance(grid, int) else math.prod(grid)
        mib, fixed = next((each for most, each in _MEMORY.items() if width <= most), (500, 20.))
        pairs = (0.8 * gib - fixed) * 1024 / (mib * patches / 196)
        limits[f'which {gib:.0f} GiB of free memory hold'] = int(pairs)
        limits['as in the paper'] = min(512, 4096 // args.devices)
    why, most = min(limits.items(), key=lambda each: each[1])
    batch = 2 ** max(1, int(math.log2(max(most, 2))))
    cfg.train_dataloader.batch_size = args.batch_size or batch
    return f'{cfg.train_dataloader.batch_size} pairs per device, ' + (
        'as asked' if args.batch_size else why)


def _set_rate(cfg: Config, wanted: float | None, total: int, least: float) -> str:
    """The square root rule for Adam (arXiv 2205.10287): noise and rate keep their ratio."""
    base, pairs = cfg.optim_wrapper.optimizer.lr, cfg.auto_scale_lr.base_batch_size
    factor = max(math.sqrt(total / pairs), least)
    cfg.optim_wrapper.optimizer.lr = wanted or float(f'{base * factor:.2g}')
    cfg.auto_scale_lr.base_batch_size = total  # it is the rate of this batch
    return f'{cfg.optim_wrapper.optimizer.lr:.2g}, ' + (
        'as asked' if wanted else f'which is {base:.2g} for {pairs:,} pairs x {factor:.2g}, the '
        f'square root of {total:,} / {pairs:,} or at least {least:g}')


def _set_length(cfg: Config, wanted: int | None, steps: int, gib: float | None) -> str:
    """Epochs, schedules and contrast; ``steps`` are those of an epoch."""
    usual, least = cfg.train_cfg.max_epochs, 12.5 * cfg.train_cfg.max_epochs
    enough = math.ceil((least if gib else _CPU_STEPS) / steps)
    epochs = wanted or (max(usual, enough) if gib else enough)
    set_epochs(cfg, epochs)
    warm_up, decay = cfg.param_scheduler
    if warm_up.end * steps < 2:  # a single step would stay at its first rate
        decay.begin = 0
        cfg.param_scheduler = [decay]
    why = 'as asked' if wanted else (
        'a demonstration, since a CPU is slow: features need a GPU, or a larger --epochs'
        if not gib else f"the paper's {usual}" if epochs == usual else
        f'for {least:,.0f} steps at least')
    return f'{epochs} epochs of {steps} steps, {why}'
