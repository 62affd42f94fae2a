"""The folder of a run of ``vicmae pretrain``: its config, and whether it is continued."""
from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from mmengine.config import Config

from vicmae_mm.checkpoints.resume import has_checkpoints
from vicmae_mm.checkpoints.saved_config import read_config_text
from vicmae_mm.engine.starting.work_dir_lock import lock_work_dir, unlock_work_dir
from vicmae_mm.utils.atomic_files import atomic_write_bytes, check_writable
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import say

from .settings import choose_settings

NAME = 'pretrain.py'
_PATHS = 'data', 'init', 'prefix', 'probe'


def prepare_run(args: argparse.Namespace) -> tuple[Path, bool]:
    """Write the config of a run, or find that of the run to continue.

    Args:
        args: Of tools/pretrain.py; paths become absolute.

    Returns:
        The config, and whether there is a checkpoint to continue.

    Raises:
        InputError: The folder has a run of other arguments.
        WorkDirInUseError: It is in use.
        OSError: It cannot be written to.
    """
    args.out = os.path.abspath(args.out)
    for name in _PATHS:
        value = getattr(args, name)
        if value and '://' not in value:
            setattr(args, name, os.path.abspath(value))
    out, command = Path(args.out), _command(args)
    file = out / NAME
    check_writable(file)
    lock_work_dir(args.out)
    try:
        if not _continues(out, command):
            cfg, about = choose_settings(args)
            _write(cfg, out, command, about)
        else:
            about = read_config_text(file.read_text('utf-8'))['about']
    finally:
        unlock_work_dir(args.out)  # for the process that trains
    for line in about:
        topic, words = line.split(': ', 1)
        say(f'{topic:14} {words}')
    say(f'{"config":14} {file}')
    return file, has_checkpoints(out)


def _command(args: argparse.Namespace) -> str:
    """The arguments on which the config depends, in one way of writing them."""
    words = ['vicmae', 'pretrain', args.data]
    for name, value in sorted(vars(args).items()):
        option = '--' + name.replace('_', '-')
        if name == 'cfg_options' and value:
            words += [option, *(f'{key}={text}' for key, text in sorted(value.items()))]
        elif name not in ('data', 'out', 'trust_checkpoint') and value is not None:
            words += [option, str(value)]
    return shlex.join(words)


def _continues(out: Path, command: str) -> bool:
    """Whether the folder has the config of a run with the same command."""
    file = out / NAME
    before = read_config_text(file.read_text('utf-8')).get('command') if file.is_file() else ''
    if before == command:
        return True
    if before:
        train = shlex.join(['vicmae', 'train', str(file), '--work-dir', str(out), '--resume'])
        raise InputError(f'{out} has a run with other arguments: {before}. Repeat these to '
                         f'continue it; to change it, use {train} with --epochs N or --cfg-options '
                         'KEY=VALUE; or choose another --out.')
    if before is None or has_checkpoints(out):
        raise InputError(f'{out} has a run that vicmae pretrain did not make: choose another '
                         f'--out, or continue it by vicmae train CONFIG --work-dir {out} --resume.')
    return False


def _write(cfg: Config, out: Path, command: str, about: list[str]) -> None:
    """Write the config; the copy that training makes of it keeps how it was made."""
    head = dict(command=command, about=about, allow_unknown=['command', 'about'])
    text = Config({**head, **cfg._cfg_dict.to_dict(), 'work_dir': str(out)}).pretty_text
    atomic_write_bytes(out / NAME, [text.encode()])
