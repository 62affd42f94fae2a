"""Command-line options that several tools share."""
import argparse
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.device import get_device

from vicmae_mm.checkpoints.safety import trust
from vicmae_mm.utils.home_folder import expand_home

from .launcher import detect_launcher


class KeepSpaces(DictAction):
    """mmengine's action, but a value that is not a list keeps its spaces, which paths may have."""

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        bare = val.strip('\'"')
        if ',' in bare or bare[:1] in ('(', '['):
            return DictAction._parse_iterable(val)
        return DictAction._parse_int_float_bool(bare)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Any, option_string: str | None = None) -> None:
        """Add settings; exit with the usage if one has no "="."""
        for value in values or []:
            if '=' not in value:
                parser.error(f'{option_string} takes KEY=VALUE, not {value!r}')
        super().__call__(parser, namespace, values, option_string)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of both training and testing; names as in mmpretrain's tools."""
    parser.add_argument(
        '--work-dir', help='folder for logs and checkpoints; default: the one in the config, '
        'otherwise work_dirs/NAME_OF_THE_CONFIG')
    parser.add_argument(
        '--cfg-options', nargs='+', action=KeepSpaces, metavar='KEY=VALUE',
        help='settings to replace in the config, e.g. train_dataloader.batch_size=64 '
        'model.contrast_head.temperature=0.2 train_cfg.max_epochs=100; lists as KEY="[1,2]"')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default=detect_launcher(),
        help='what started the processes; taken from the environment that it sets')
    parser.add_argument('--no-pin-memory', action='store_true', help='do not pin batches in memory')
    parser.add_argument('--no-persistent-workers', action='store_true',
                        help='start new data-loading workers every epoch')
    add_trust(parser)
    # torch.distributed.launch passes it; torchrun sets the variable LOCAL_RANK instead.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint``, which takes effect while it is parsed."""
    parser.add_argument(
        '--trust-checkpoint', action='append', type=_trust, metavar='FILE',
        help='execute the code in this one file, a checkpoint whose author you trust; may be '
        'repeated. Without it, checkpoints are read as data')


def _trust(name: str) -> str:
    try:
        trust(name)
    except (FileNotFoundError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return name


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``, which torch must be able to use on this machine."""
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu',
                        type=_usable_device, help='default: %(default)s')


def _usable_device(name: str) -> str:
    try:
        torch.empty(0, device=name)
    except (AssertionError, RuntimeError) as error:
        raise argparse.ArgumentTypeError(f'{name!r} cannot be used: {error}') from error
    return name


def merge_options(cfg: Config, args: argparse.Namespace, loaders: list[str]) -> None:
    """Write the options of :func:`add_run_options` into the config, for the loaders named."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or os.path.join(
        'work_dirs', Path(args.config).stem)
    found = [name for name in loaders if cfg.get(name) is not None]
    # mmpretrain's own tools do the same: a config must not depend on the tool that runs it.
    if cfg.get('default_scope') == 'mmpretrain':
        defaults = dict(
            pin_memory=True, persistent_workers=True, collate_fn=dict(type='default_collate'))
        for name in found:
            cfg[name] = ConfigDict({**defaults, **cfg[name]})
    cfg.merge_from_dict(args.cfg_options or {})
    expand_home(cfg._cfg_dict)
    for name in found:
        # torch warns about pinned memory without an accelerator.
        if args.no_pin_memory or get_device() == 'cpu':
            cfg[name].pin_memory = False
        # torch raises ValueError for persistent workers without workers.
        if args.no_persistent_workers or not cfg[name].get('num_workers'):
            cfg[name].persistent_workers = False
