"""Copying what a checkpoint consists of, and writing it to a file."""
import shutil
from collections.abc import Sequence
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any

import torch
from mmengine.dist import is_main_process
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vicmae_mm.utils.atomic_files import atomic_file
from vicmae_mm.utils.errors import RunError, UserError, some_of

from .fit import not_finite_in_training_state


class CheckpointWriteError(UserError, OSError):
    """A checkpoint could not be written; the file that it would have replaced is unchanged."""


class PinnedCopies(TorchFunctionMode):
    """In its block, ``Tensor.cpu`` and ``copy.deepcopy`` copy from a GPU to pinned memory, once.

    mmengine collects a checkpoint by the former. torch keeps the memory for the next one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._copies: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Copy a tensor, or do what is asked."""
        if func in (Tensor.cpu, Tensor.__deepcopy__) and args[0].is_cuda:
            # Waits for the copy: another hook may read it.
            host = torch.empty_like(args[0], device='cpu', pin_memory=True).copy_(args[0].detach())
            return self._copies.setdefault(id(host), host)
        is_copied = func is Tensor.__deepcopy__ and id(args[0]) in self._copies
        return args[0] if is_copied else func(*args, **(kwargs or {}))


def check_finite(checkpoint: dict, infinite: Sequence[str], newest: str | None) -> None:
    """Refuse to write what a run could not continue from.

    Args:
        checkpoint: As mmengine collects it.
        infinite: Names of buffers that are infinite on purpose.
        newest: The newest complete checkpoint, if any, for the message.

    Raises:
        RunError: Weights or the optimizer's state contain NaN or infinity.
    """
    if broken := not_finite_in_training_state(checkpoint, infinite):
        raise RunError(
            f'No checkpoint is written after {checkpoint["meta"]["iter"]} iterations: '
            f'{len(broken)} tensors are not finite (NaN or infinity): {some_of(broken)}. '
            + (f'The newest complete checkpoint is {newest}: lower the learning rate, then use '
               '--resume.' if newest else 'Lower the learning rate, and start again.'))


def write_checkpoint(checkpoint: dict, path: str | Path) -> None:
    """Write a checkpoint atomically.

    Raises:
        CheckpointWriteError: If that fails; names the path and the bytes needed and free.
    """
    stream: Any = _Stream()
    try:
        with atomic_file(path) as stream.file:
            torch.save(checkpoint, stream)
            if stream.error:
                raise stream.error
    except OSError as error:
        if not stream.size:  # the file could not be opened
            torch.save(checkpoint, stream)
        free = ''
        with suppress(OSError):  # the folder cannot be reached
            free = f', {shutil.disk_usage(Path(path).parent).free:,} are free'
        raise CheckpointWriteError(
            f'{path} could not be written ({error.strerror or error}): it needs '
            f'{stream.size:,} bytes{free}.') from error


class _Stream(BufferedIOBase):
    """A file for torch, whose own error would lack the reason: after one, it only counts."""

    file: IO[bytes] | None = None
    size = 0
    error: OSError | None = None

    def write(self, data: Any) -> int:
        self.size += len(data)
        try:
            if self.file and not self.error:
                self.file.write(data)
        except OSError as error:
            self.error = error
        return len(data)


def remove_checkpoint(backend: Any, path: str) -> None:
    """Have the main process remove a checkpoint, if it is there; DeepSpeed's are folders."""
    if is_main_process() and backend.isfile(path):
        backend.remove(path)
    elif is_main_process() and backend.isdir(path):
        backend.rmtree(path)
