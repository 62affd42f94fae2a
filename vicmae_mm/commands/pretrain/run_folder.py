"""The folder of a run of ``vicmae pretrain``: its config, and whether it is continued."""
from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from mmengine.config import Config

from vicmae_mm.checkpoints.resume import has_checkpoints
from vicmae_mm.checkpoints.saved_config import read_config_text
from vicmae_mm.engine.starting.work_dir_lock import lock_work_dir
from vicmae_mm.utils.atomic_files import atomic_write_bytes, check_writable
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.progress import say

from .settings import choose_settings


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
    for name in ('data', 'out', 'init', 'prefix', 'probe'):
        value = getattr(args, name)
        if value == '' or (name == 'out' and '://' in value):
            raise InputError(f'{name}={value!r} should be a path of this machine.')
        if value and '://' not in value:
            setattr(args, name, os.path.abspath(value))
    out, file = Path(args.out), Path(args.out, 'pretrain.py')
    if os.path.isdir(args.data) and Path(args.data).resolve() in (
            out.resolve(), *out.resolve().parents):
        raise InputError(f'--out {out} is in {args.data}: pictures of the run would become its '
                         'data. Choose a folder outside.')
    check_writable(file)
    lock_work_dir(args.out)  # until this process becomes the one that trains
    arguments = ' '.join(f'{name}={value!r}' for name, value in sorted(vars(args).items())
                         if value is not None and name not in ('out', 'trust_checkpoint'))
    if continues := has_checkpoints(out):
        kept = read_config_text(file.read_text('utf-8')) if file.is_file() else {}
        before = kept.get('arguments', 'those of another command than vicmae pretrain')
        if before != arguments:
            train = shlex.join(['vicmae', 'train', str(file), '--work-dir', args.out, '--resume'])
            raise InputError(
                f'{out} has a run with other arguments: {before}. Repeat these to continue it; to '
                f'change it, use {train} with --epochs N or --cfg-options KEY=VALUE; or choose '
                'another --out.')
        about = kept['about']
    else:
        cfg, chosen = choose_settings(args)
        about = [f'{topic:14} {words}' for topic, words in chosen.items()]
        # In the config, since training writes a copy of that to the same place.
        head = dict(arguments=arguments, about=about, allow_unknown=['arguments', 'about'])
        text = Config({**head, **cfg._cfg_dict.to_dict(), 'work_dir': args.out}).pretty_text
        atomic_write_bytes(file, [text.encode()])
    for line in (*about, f'config         {file}'):
        say(line)
    return file, continues
