"""Command-line options that several tools share."""
import argparse
import ast
import os
import re
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.config.utils import ConfigParsingError
from mmengine.device import get_device

from vicmae_mm.checkpoints.find_config import CONFIG_SUFFIXES
from vicmae_mm.checkpoints.safety import trust
from vicmae_mm.utils.errors import InputError, UserError
from vicmae_mm.utils.home_folder import expand_home

from .image_size import set_image_size
from .launcher import detect_launcher
from .shipped_configs import find_shipped

# Settings with a path, or another name that the user makes up.
_PATH = re.compile(r'(dir|root|file|path|prefix|checkpoint|from|name)$')
_DICTS = (
    'model', 'data_preprocessor', 'train_dataloader', 'val_dataloader', 'test_dataloader',
    'train_cfg', 'val_cfg', 'test_cfg', 'optim_wrapper', 'auto_scale_lr', 'default_hooks',
    'env_cfg', 'randomness', 'log_processor', 'visualizer')
_NO_NUMBER = re.compile(r'[+-]?0\d|.*_')


class KeepText(DictAction):
    """Collects KEY=VALUE as text: what a value means depends on the config (merge_settings)."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Any, option_string: str | None = None) -> None:
        """Add settings; exit with the usage if one has no "="."""
        settings = {}
        for value in values or []:
            key, equals, settings[key] = value.partition('=')
            if not (key and equals):
                parser.error(f'{option_string} takes KEY=VALUE, not {value!r}')
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest, None) or {}), **settings})


def open_config(path: str) -> Config:
    """``Config.fromfile`` of a file, or else of a shipped config of this name, which is said.

    All errors are raised as ones for the user.

    Raises:
        ValueError: It cannot be read; names the line, if there is one.
        OSError, ImportError, SyntaxError: As raised.
    """
    path = find_shipped(path)
    if os.path.isdir(path) or not path.endswith(CONFIG_SUFFIXES):
        raise InputError(f'{path} is not a config, whose name ends with .py, .json or .yaml.')
    try:
        return Config.fromfile(path)
    except SyntaxError as error:
        if error.filename == '<unknown>':  # mmengine parses the text without its name
            error.filename = f'{path} or a _base_ of it'
        raise
    except (UserError, OSError, ImportError, ConfigParsingError):
        raise
    except Exception as error:
        # mmengine's file runs the config's.
        lines = [f'{inner.filename}, line {inner.lineno}: '
                 for outer, inner in pairwise(traceback.extract_tb(error.__traceback__))
                 if inner.name == '<module>' and outer.filename.endswith('config.py')]
        words = ('its _base_ leads back to itself' if isinstance(error, RecursionError) else
                 f'{"".join(lines[-1:])}{type(error).__name__}: {error}')
        raise InputError(f'{path} cannot be read: {" ".join(words.split())}') from error


def merge_settings(cfg: Config, settings: Mapping[str, Any] | None) -> None:
    """Write settings into a config; texts mean what :func:`parse_setting` says.

    Raises:
        ValueError: A setting is inside of something that has no settings.
    """
    values = dict(settings or {})
    for key, value in values.items():
        if isinstance(value, str):
            values[key] = parse_setting(value, setting_at(cfg, key), key)
    try:
        cfg.merge_from_dict(values)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f'--cfg-options {" ".join(values)}: the config has no place for one of '
                         f'these settings: {error}') from error


def parse_setting(text: str, present: Any, key: str = '') -> Any:
    """The value that a text on the command line means.

    Where the config has a text, or the name is that of a path, it is a text: a path may look like a
    number or a list. Elsewhere it is a number, ``True``, ``None``, a list (``a,b`` or in brackets)
    or else a text, and always a text in quotes of its own. ``present`` is the value in the config.
    """
    quoted = len(text) > 1 and text[0] in '\'"' and text[-1] == text[0]
    bare = text[1:-1] if quoted else text
    is_list = (bare[:1] + bare[-1:]) in ('[]', '()')
    is_text = isinstance(present, str) or (present is None and _PATH.search(key) is not None)
    if quoted and (is_text or present is None):
        return bare
    if is_text and not is_list and bare not in ('None', 'True', 'False'):
        return bare
    if is_list:
        with suppress(SyntaxError, ValueError):
            return ast.literal_eval(bare)
    if is_list or ',' in bare:
        # mmengine refuses brackets that do not match, and never ends with a call: dict(a=[1, 2]).
        with suppress(AssertionError, RecursionError):
            return DictAction._parse_iterable(bare)
    # Python reads 2024_01 as 202401, and 007 as 7.
    return bare if _NO_NUMBER.match(bare) else DictAction._parse_int_float_bool(bare)


def setting_at(cfg: Any, key: str) -> Any:
    """The value of a dotted name; None if there is none."""
    for part in key.split('.'):
        if isinstance(cfg, (list, tuple)):
            cfg = {str(index): item for index, item in enumerate(cfg)}
        cfg = cfg.get(part) if hasattr(cfg, 'keys') else None
    return cfg


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of both training and testing; names as in mmpretrain's tools."""
    parser.add_argument(
        '--work-dir', help='folder for logs and checkpoints; default: the one in the config, '
        'otherwise work_dirs/NAME_OF_THE_CONFIG')
    parser.add_argument(
        '--cfg-options', nargs='+', action=KeepText, metavar='KEY=VALUE',
        help='settings to replace in the config, e.g. train_dataloader.batch_size=64 '
        'model.contrast_head.temperature=0.2 randomness.seed=1; lists as KEY="[1,2]", a '
        'text that looks like a number or a list as KEY=\'"[1]"\'')
    parser.add_argument(
        '--devices', type=positive, metavar='N', help='number of processes: one for each GPU '
        'of this machine or, without a GPU, on the CPU (default: one). For several machines, set '
        'NNODES, NODE_RANK, MASTER_ADDR and PORT on each')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default=detect_launcher(),
        help='what started the processes; taken from the environment that it sets')
    parser.add_argument('--no-pin-memory', action='store_true', help='do not pin batches in memory')
    parser.add_argument('--no-persistent-workers', action='store_true',
                        help='start new data-loading workers every epoch')
    parser.add_argument('--verbose', action='store_true', help='print all that the log file gets')
    add_trust(parser)
    # torch.distributed.launch passes it; torchrun sets the variable LOCAL_RANK instead.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def positive(text: str) -> int:
    """The ``type`` of options that are counts."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'must be positive and whole, not {text!r}')
    return int(text)


def positive_number(text: str) -> float:
    """The ``type`` of options that are amounts, such as seconds; ``inf`` is one."""
    with suppress(ValueError):
        if float(text) > 0:
            return float(text)
    raise argparse.ArgumentTypeError(f'must be a positive number, not {text!r}')


def between(kind: type, least: float, most: float) -> Callable[[str], Any]:
    """The ``type`` of options that are numbers of a kind from ``least`` to ``most``."""
    def number(text: str) -> Any:
        with suppress(ValueError):
            if least <= kind(text) <= most:
                return kind(text)
        raise argparse.ArgumentTypeError(f'must be {least} to {most}, not {text!r}')
    return number


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add ``checkpoint``, of any kind that ``load_backbone`` reads, and ``--config``."""
    parser.add_argument(
        'checkpoint', help='of this package, mmpretrain, mmaction2, timm, Hugging Face, ...')
    parser.add_argument('--config', help='its config; by default the one next to the checkpoint')


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
    default = cfg.get('work_dir') or os.path.join('work_dirs', Path(args.config).stem)
    cfg.work_dir = args.work_dir or default
    found = [name for name in loaders if cfg.get(name) is not None]
    # mmpretrain's own tools do the same: a config must not depend on the tool that runs it.
    if cfg.get('default_scope') == 'mmpretrain':
        defaults = dict(
            pin_memory=True, persistent_workers=True, collate_fn=dict(type='default_collate'))
        for name in found:
            cfg[name] = ConfigDict({**defaults, **cfg[name]})
    settings = args.cfg_options or {}
    # Before the other settings, which are final.
    merge_settings(cfg, {key: settings[key] for key in settings if key == 'image_size'})
    set_image_size(cfg)
    merge_settings(cfg, settings)
    expand_home(cfg._cfg_dict)
    cfg.work_dir = str(cfg.work_dir or default)
    for name in _DICTS:
        if not isinstance(cfg.get(name) or {}, dict):
            raise InputError(f'{name}={cfg[name]!r} must be a dict of settings.')
    for name in (name for name in found if isinstance(cfg[name], dict)):
        # torch warns about pinned memory without an accelerator.
        if args.no_pin_memory or get_device() == 'cpu':
            cfg[name].pin_memory = False
        # torch raises ValueError for persistent workers without workers.
        if args.no_persistent_workers or not cfg[name].get('num_workers'):
            cfg[name].persistent_workers = False
