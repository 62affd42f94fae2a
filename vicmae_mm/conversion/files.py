"""Files of weights, pickled or safetensors, read and written as data."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from vicmae_mm.apis.load import read_weights_and_extras
from vicmae_mm.whole_files import written_whole

PICKLED, SAFE = ('.pth', '.pt', '.bin', '.ckpt'), '.safetensors'


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a file, executing nothing.

    Args:
        path: ``.safetensors``, or a pickled file of any name. The optimizer, arguments and
            what else training left in it are not read out.

    Returns:
        The state dict, without the prefix ``module.`` of a parallel wrapper.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no checkpoint, is damaged or holds no weights.
        UnpicklingError: If it contains more than data (torch >= 2.6).
    """
    return read_with_extras(path)[0]


def read_with_extras(path: str | Path) -> tuple[dict[str, Tensor], list[str]]:
    """Read the tensors and the names of what else is in the file, see :func:`read_checkpoint`."""
    weights, extras = read_weights_and_extras(path)
    if all(key.startswith('module.') for key in weights):
        weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    return weights, extras


def write_checkpoint(path: str | Path,
                     state: Mapping[str, Tensor],
                     wrapper: str | None = 'state_dict') -> None:
    """Write tensors; what stood there is replaced once the new file is whole.

    Args:
        path: ``.safetensors``, or ``.pth``, ``.pt``, ``.bin``, ``.ckpt`` for a pickled file.
        state: The tensors.
        wrapper: Name in a pickled file under which the state dict is; None if it is the file.

    Raises:
        ValueError: For another suffix.
    """
    path = Path(path)
    check_suffix(path)
    # a view would drag its whole memory into a pickled file, and is none of safetensors'
    state = {key: value.detach().clone(memory_format=torch.contiguous_format)
             for key, value in state.items()}
    # opened here for an OSError over a bad path: torch raises others
    with written_whole(path) as part, open(part, 'wb') as file:
        if path.suffix == SAFE:
            # transformers asks for the format; save_file would make a file for its owner alone
            file.write(save(state, metadata=dict(format='pt')))
        else:
            torch.save(state if wrapper is None else {wrapper: state}, file)


def check_suffix(path: Path) -> None:
    """Refuse a name that says no format.

    Raises:
        ValueError: If its suffix is none of those known.
    """
    if path.suffix not in (*PICKLED, SAFE):
        raise ValueError(f'{path} has none of the suffixes {", ".join(PICKLED)} (pickled) and '
                         f'{SAFE}.')
