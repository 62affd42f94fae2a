"""Options that several tools share."""
import argparse
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.device import get_device

from vicmae_mm.checkpoints.safety import trust


class KeepSpaces(DictAction):
    """mmengine's action, but a value that is no list keeps its spaces, as paths need."""

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        bare = val.strip('\'"')
        if ',' in bare or bare[:1] in ('(', '['):
            return DictAction._parse_iterable(val)
        return DictAction._parse_int_float_bool(bare)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Any, option_string: str | None = None) -> None:
        """Add settings; without a "=", end with the usage."""
        for value in values or []:
            if '=' not in value:
                parser.error(f'{option_string} takes KEY=VALUE, not {value!r}')
        super().__call__(parser, namespace, values, option_string)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what training and testing both know; names as in mmpretrain's tools."""
    parser.add_argument(
        '--work-dir', help='folder for logs and checkpoints; default: the one in the config, '
        'else work_dirs/NAME_OF_THE_CONFIG')
    parser.add_argument(
        '--cfg-options', nargs='+', action=KeepSpaces, metavar='KEY=VALUE',
        help='settings to replace in the config, e.g. train_dataloader.batch_size=64 '
        'model.contrast_head.temperature=0.2 train_cfg.max_epochs=100; lists as KEY="[1,2]"')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
        help='what started the processes; set by dist_train.sh and slurm_train.sh')
    parser.add_argument(
        '--no-pin-memory', action='store_true', help="do not pin the batches' memory")
    parser.add_argument(
        '--no-persistent-workers', action='store_true',
        help='start new data-loading workers every epoch')
    add_trust(parser)
    # torch.distributed.launch passes it; torchrun sets the variable.
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint``, which works as it is parsed."""
    parser.add_argument(
        '--trust-checkpoint', action='append', type=_trusted_file, metavar='FILE',
        help='execute what code this very file holds, for a checkpoint whose maker you trust; '
        'may be given several times. Without it checkpoints are read as data')


def _trusted_file(name: str) -> str:
    try:
        trust(name)
    except FileNotFoundError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return name


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``, which must be one that torch can use here."""
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu', type=_usable_device,
        help='default: %(default)s')


def _usable_device(name: str) -> str:
    try:
        torch.empty(0, device=name)
    except (AssertionError, RuntimeError) as error:
        raise argparse.ArgumentTypeError(f'{name!r} can not be used: {error}') from error
    return name


def merge_options(cfg: Config, args: argparse.Namespace, loaders: list[str]) -> None:
    """Write the options of :func:`add_run_options` into the config.

    Data loaders get the defaults of the library whose scope the config names, so that a
    config means the same under that library's own tools.

    Args:
        cfg (Config): Changed in place.
        args (argparse.Namespace): From a parser with :func:`add_run_options` and ``config``.
        loaders (list[str]): Names of the data loaders in use.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or os.path.join(
        'work_dirs', Path(args.config).stem)
    found = [name for name in loaders if cfg.get(name) is not None]
    if cfg.get('default_scope') == 'mmpretrain':
        defaults = dict(
            pin_memory=True, persistent_workers=True, collate_fn=dict(type='default_collate'))
        for name in found:
            cfg[name] = ConfigDict({**defaults, **cfg[name]})
    cfg.merge_from_dict(args.cfg_options or {})
    for name in found:
        if args.no_pin_memory or get_device() == 'cpu':
            cfg[name].pin_memory = False  # torch warns about it where there is no accelerator
        if args.no_persistent_workers or not cfg[name].get('num_workers'):
            cfg[name].persistent_workers = False  # torch refuses them without workers
