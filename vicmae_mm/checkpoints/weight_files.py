"""Files of weights, pickled or safetensors, read and written as data."""
from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors.torch import save
from torch import Tensor

from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.errors import InputError

from .integrity import check_exists

PICKLED, SAFE = ('.pth', '.pt', '.bin', '.ckpt'), '.safetensors'
# where mmengine, the authors of MAE, PySlowFast and DeepSpeed keep a state dict
_WRAPPERS = ('state_dict', 'model', 'model_state', 'module')


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a file, executing nothing.

    Args:
        path: ``.safetensors``, or a pickled file of any name. The optimizer, the arguments and
            whatever else training left in it are not read.

    Returns:
        The state dict, without the prefix ``module.`` of a parallel wrapper.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a checkpoint, is damaged or holds no weights.
        UnpicklingError: If it contains more than data (torch >= 2.6).
    """
    return read_weights_and_extras(path)[0]


def read_weights_and_extras(path: str | Path) -> tuple[dict[str, Tensor], list[str]]:
    """Read the tensors and the names of what else is in the file, see :func:`read_weights`."""
    check_exists(path)
    try:
        # vicmae_mm.compat makes this loader read data only
        content = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    except (pickle.UnpicklingError, ValueError):
        raise
    except Exception as error:  # zip, pickle and OS errors of many kinds
        raise InputError(f'{path} is not a checkpoint, or is damaged: {error}') from error
    extras: list[str] = []
    for name in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            extras += [str(key) for key in content if key != name]
            content = content[name]
    weights = {key: value for key, value in content.items()
               if isinstance(value, Tensor)} if isinstance(content, dict) else {}
    if not weights:
        what = f'is a {type(content).__name__}'
        if isinstance(content, dict):
            what = f'has {", ".join(map(str, [*extras, *content][:8])) or "nothing in it"}'
        raise InputError(f'{path} holds no weights where they are looked for '
                         f'({", ".join(_WRAPPERS)}, or the file itself): it {what}.')
    extras += [str(key) for key in content if key not in weights]
    if all(key.startswith('module.') for key in weights):
        weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    return weights, extras


def write_weights(path: str | Path,
                  state: Mapping[str, Tensor],
                  wrapper: str | None = 'state_dict') -> None:
    """Write tensors atomically: an existing file is replaced once the new one is complete.

    Args:
        path: ``.safetensors``, or ``.pth``, ``.pt``, ``.bin``, ``.ckpt`` for a pickled file.
        state: The tensors.
        wrapper: Name in a pickled file under which the state dict is; None if it is the file.

    Raises:
        ValueError: For another suffix.
    """
    path = Path(path)
    check_suffix(path)
    # A view would drag its whole memory into a pickled file, and safetensors refuses views.
    state = {key: value.detach().clone(memory_format=torch.contiguous_format)
             for key, value in state.items()}
    # Opened here for an OSError over a bad path: torch raises others.
    with atomic_write(path) as part, open(part, 'wb') as file:
        if path.suffix == SAFE:
            # transformers asks for the format; save_file would make a file only its owner can read
            file.write(save(state, metadata=dict(format='pt')))
        else:
            torch.save(state if wrapper is None else {wrapper: state}, file)


def check_suffix(path: Path) -> None:
    """Refuse a name that does not tell the format.

    Raises:
        ValueError: If its suffix is unknown.
    """
    if path.suffix not in (*PICKLED, SAFE):
        raise InputError(f'{path} has none of the suffixes {", ".join(PICKLED)} (pickled) and '
                         f'{SAFE}.')
