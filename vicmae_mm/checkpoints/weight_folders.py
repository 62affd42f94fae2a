"""Checkpoints of several files: folders of the Hugging Face Hub, and shards named by an index."""
from __future__ import annotations

import json
import os
from pathlib import Path

from vicmae_mm.utils.errors import InputError

_INDEX = '.index.json'
# In the order in which transformers looks for them.
_WEIGHTS = ('model.safetensors', f'model.safetensors{_INDEX}', 'pytorch_model.bin',
            f'pytorch_model.bin{_INDEX}')
_SUFFIXES = ('.safetensors', '.pth', '.pt', '.bin', '.ckpt', '.tar')


def files_with_weights(path: str | Path) -> list[str]:
    """The files with the weights of a checkpoint that exists.

    Args:
        path: A file, which stands for itself; the index of sharded weights; or a folder of the
            Hub, with ``model.safetensors`` or ``pytorch_model.bin``, sharded or not.

    Raises:
        ValueError: If a folder has no such file, or an index is damaged.
        FileNotFoundError: If a shard is missing.
    """
    path = os.path.realpath(os.path.expanduser(path))
    if os.path.isdir(path):
        names = sorted(os.listdir(path))
        found = [name for name in _WEIGHTS if name in names]
        if not found:
            raise InputError(f'{path} is a folder without {_WEIGHTS[0]} or {_WEIGHTS[2]}. '
                             f'{_advice(names)}')
        path = os.path.join(path, found[0])
    return _shards(path) if path.endswith(_INDEX) else [path]


def _advice(names: list[str]) -> str:
    if '.metadata' in names:
        return ('It looks like a distributed checkpoint of torch: make a file of it with '
                'python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE.')
    files = [name for name in names if name.endswith(_SUFFIXES)]
    more = ', ...' if len(files) > 4 else ''
    return (f'Name the file: {", ".join(files[-4:])}{more}.' if files else
            'There are no weights in it.')


def _shards(index: str) -> list[str]:
    try:
        names = sorted(set(json.loads(Path(index).read_text(encoding='utf-8'))['weight_map']
                           .values()))
        # Of this folder only: the index may come from anybody.
        usable = names and all(os.path.basename(name) == name for name in names)
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        usable = False
    if not usable:
        raise InputError(f'{index} is not an index of sharded weights, or is damaged: it has no '
                         "'weight_map' with names of files next to it.")
    files = [os.path.join(os.path.dirname(index), name) for name in names]
    missing = [file for file in files if not os.path.isfile(file)]
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} of the {len(files)} shards that {index} names are missing, such as '
            f'{os.path.basename(missing[0])}: download them into the same folder.')
    return files
