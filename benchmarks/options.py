"""Options that several commands have."""
import argparse
from collections.abc import Callable
from typing import Any

import torch
from mmengine.config import Config

from vicmae_mm.commands.options import (
    KeepText,
    add_device,
    merge_settings,
    open_config,
    positive,
    positive_number,
)
from vicmae_mm.utils.errors import InputError


def add_config(parser: argparse.ArgumentParser, clock: bool = False) -> None:
    """Add ``config``, ``--cfg-options``, ``--device`` and, with ``clock``, ``--clock``."""
    parser.add_argument('config', help='path of a config')
    parser.add_argument('--cfg-options', nargs='+', action=KeepText, metavar='KEY=VALUE',
                        help='settings to replace in the config')
    add_device(parser)
    if clock:
        parser.add_argument(
            '--clock', choices=('cpu', 'wall'), default='wall',
            help="on a CPU: 'cpu' is the process's own time, for a machine shared with others")


def read_config(args: argparse.Namespace) -> Config:
    """Read the config with the settings of the command line."""
    cfg = open_config(args.config)
    merge_settings(cfg, args.cfg_options)
    return cfg


def add_number(parser: argparse.ArgumentParser, name: str, default: Any, text: str,
               metavar: str = 'N', kind: Callable[[str], float] | None = None) -> None:
    """Add an option that takes a number or, where the default is a list, several.

    They have to be positive, and whole like the default, unless ``kind`` says otherwise.
    """
    numbers = default if isinstance(default, list) else [default]
    parser.add_argument(
        name, type=kind or (positive if isinstance(numbers[0], int) else positive_number),
        nargs='+' if numbers is default else None, default=default,
        metavar=metavar, help=f'{text}; default: {" ".join(f"{number:g}" for number in numbers)}')


def select_device(name: str) -> torch.device:
    """Return the CPU or a GPU, which becomes the current one: events go to its queue."""
    device = torch.device(name)
    if device.type not in ('cpu', 'cuda'):
        raise InputError(f'--device {name}: nothing can be measured on it; give cpu or cuda.')
    if device.index is not None and device.type == 'cuda':
        torch.cuda.set_device(device)
    return device
