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


def prepare_run(args: argparse.Namespace) -> tuple[Path, bool]:
    """Write the config of a run, or find that of the run to continue.

    Args:
        args: Of tools/pretrain.py; paths become absolute.

    Returns:
        The config, and whether there is a checkpoint to continue.

    Raises:
        InputError: The folder has a run of other arguments, or is in the data.
        WorkDirInUseError: It is in use.
        OSError: It cannot be written to.
    """
    if not args.out or '://' in args.out:
        raise InputError(f'--out {args.out!r} should be a folder of this machine.')
    for name in ('data', 'out', 'init', 'prefix', 'probe'):
        value = getattr(args, name)
        if value and '://' not in value:
            setattr(args, name, os.path.abspath(value))
    out, file = Path(args.out), Path(args.out, NAME)
    arguments = ' '.join(f'{name}={value!r}' for name, value in sorted(vars(args).items())
                         if value is not None and name not in ('out', 'trust_checkpoint'))
    if os.path.isdir(args.data) and Path(args.data).resolve() in (
            out.resolve(), *out.resolve().parents):
        raise InputError(f'--out {out} is in {args.data}: pictures of the run would become its '
                         'data. Choose a folder outside.')
    check_writable(file)
    lock_work_dir(args.out)
    try:
        continues = has_checkpoints(out)
        if continues:
            about = _read_about(file, arguments)
        else:
            cfg, about = choose_settings(args)
            # In the config, since training writes a copy of that to the same place.
            head = dict(arguments=arguments, about=about, allow_unknown=['arguments', 'about'])
            text = Config({**head, **cfg._cfg_dict.to_dict(), 'work_dir': args.out}).pretty_text
            atomic_write_bytes(file, [text.encode()])
    finally:
        unlock_work_dir(args.out)  # for the process that trains
    for topic, words in {**about, 'config': file}.items():
        say(f'{topic:14} {words}')
    return file, continues


def _read_about(file: Path, arguments: str) -> dict[str, str]:
    """What a run was said to be, if it had the same arguments."""
    cfg = read_config_text(file.read_text('utf-8')) if file.is_file() else {}
    if cfg.get('arguments') == arguments:
        return cfg['about']
    out = file.parent
    train = shlex.join(['vicmae', 'train', str(file), '--work-dir', str(out), '--resume'])
    before = cfg.get('arguments', 'those of another command than vicmae pretrain')
    raise InputError(f'{out} has a run with other arguments: {before}. Repeat these to continue '
                     f'it; to change it, use {train} with --epochs N or --cfg-options KEY=VALUE; '
                     'or choose another --out.')
