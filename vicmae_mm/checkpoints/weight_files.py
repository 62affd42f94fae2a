"""Files of weights, pickled or safetensors, read and written as data."""
from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors.torch import save
from torch import Tensor

from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.errors import InputError

from .conversion.families import WRAPPER
from .weight_folders import PICKLED, SAFE, check_exists

# Keys of a state dict in files of mmengine, MAE's authors, PySlowFast and DeepSpeed.
_WRAPPERS = ('state_dict', 'model', 'model_state', 'module')
# What torch.compile, FSDP and activation checkpointing put into names.
_COMPILED = re.compile(r'\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.')


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a file, executing nothing.

    Args:
        path: ``.safetensors``, a pickled file of any name, or a folder of the Hub. The optimizer,
            the arguments and whatever else training saved in it are not read.

    Returns:
        The state dict, without what parallel and compiled modules add to names (``module.``,
        ``_orig_mod.``). Of a file with several state dicts, such as ``student`` and ``teacher``,
        the tensors have the name of theirs as a prefix.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a checkpoint, is damaged or contains no weights.
        UnpicklingError: If it contains more than data (torch >= 2.6).
    """
    return read_weights_and_extras(path)[0]


def read_weights_and_extras(path: str | Path) -> tuple[dict[str, Tensor], list[str]]:
    """Read the tensors and the names of what else is in the file, see :func:`read_weights`."""
    check_exists(path, allow_url=False)
    try:
        # vicmae_mm.compat makes this loader read data only.
        content = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    except (pickle.UnpicklingError, ValueError):
        raise
    except Exception as error:  # zip, pickle and OS errors of many types
        raise InputError(f'{path} is not a checkpoint, or is damaged: {error}') from error
    return unwrap(content, str(path))


def unwrap(content: Any, path: str) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors in what was read of a file, and the names of what else is in it."""
    extras: list[str] = []
    # Wrappers may be nested, so each is looked for inside the one before.
    for name in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            extras += [str(key) for key in content if key != name]
            content = content[name]
    weights = _tensors(content)
    if not weights and isinstance(content, dict):
        parts = {name: _tensors(part) for name, part in content.items()
                 if WRAPPER.fullmatch(f'{name}.')}
        weights = {f'{name}.{key}': value for name, part in parts.items()
                   for key, value in part.items()}
        extras += [str(name) for name in content if weights and name not in parts]
        content = weights or content
    if not weights:
        what = f'is of type {type(content).__name__}'
        if isinstance(content, dict):
            what = f'has {", ".join(map(str, [*extras, *content][:8])) or "nothing in it"}'
        raise InputError(f'{path} contains no weights where they are expected '
                         f'({", ".join(_WRAPPERS)}, or the file itself): it {what}.')
    extras += [str(key) for key in content if key not in weights]
    bare = {_COMPILED.sub('', key): value for key, value in weights.items()}
    if all(key.startswith('module.') for key in bare):
        bare = {key.removeprefix('module.'): value for key, value in bare.items()}
    if len(bare) < len(weights):
        raise InputError(f'{path} has tensors with and without the prefix of a compiled module.')
    return bare, extras


def _tensors(content: object) -> dict[str, Tensor]:
    if not isinstance(content, dict):
        return {}
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def write_weights(path: str | Path, state: Mapping[str, Tensor],
                  wrapper: str | None = 'state_dict') -> None:
    """Write tensors atomically, in the format of the suffix (:func:`check_suffix`).

    ``wrapper`` is the key of the state dict in a pickled file; None if the file is the state dict.
    """
    path = Path(path).expanduser()
    check_suffix(path)
    # A view would save all of its storage in a pickled file, and safetensors refuses views.
    state = {key: value.detach().clone(memory_format=torch.contiguous_format)
             for key, value in state.items()}
    # Opened here: for a bad path this raises OSError, where torch raises other errors.
    with atomic_write(path) as part, open(part, 'wb') as file:
        if path.suffix == SAFE:
            # transformers requires the format. save_file would make the file readable only by its
            # owner, whatever the umask.
            file.write(save(state, metadata=dict(format='pt')))
        else:
            torch.save(state if wrapper is None else {wrapper: state}, file)


def check_suffix(path: Path) -> None:
    """Raise a ValueError unless the suffix gives the format."""
    if path.suffix not in (*PICKLED, SAFE):
        raise InputError(f'{path} has none of the suffixes {", ".join(PICKLED)} (pickled) and '
                         f'{SAFE}.')
