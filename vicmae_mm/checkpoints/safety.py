"""Checkpoints are data: nothing in one is ever executed.

From torch 2.6 on, :func:`torch.load` builds only what it is allowed to. This module
allows exactly what mmengine's training state consists of, closes the ways around it, refuses
damaged files, and words the refusal for people. torch before 2.6 has no safe way to load a training
checkpoint (and its ``weights_only=True`` could be broken out of, CVE-2025-32434): there,
load only files that you trust; a warning says so once.
"""
import argparse
import errno
import os
import pickle
import re
import shlex
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from vicmae_mm.utils.errors import InputError, UserError

from .integrity import check_exists, find_damage, newest_undamaged_in_folder_of

CAN_LOAD_SAFELY = tuple(int(n) for n in torch.__version__.split('.')[:2]) >= (2, 6)
_STATISTICS = ('min', 'max', 'current', 'mean')
_STATE = ('max_length', '_log_history', '_count_history')
# What torch raises over files that are cut off, empty or something else.
_UNREADABLE = (pickle.UnpicklingError, EOFError, LookupError, struct.error, RuntimeError, OSError)
_REFUSED = re.compile(r"GLOBAL (\S+)(?: of (.+))?|(?:but got|function) <?(?:class )?'?([\w.]+)")
_FORCE, _FORCE_NOT = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
_trusted: set[str] = set()


class UnsafeCheckpointError(UserError, pickle.UnpicklingError):
    """A checkpoint asks for more than data."""


def trust(path: str) -> None:
    """Let this process execute what one file holds; its config text stays unexecuted.

    Args:
        path: A local file, whose maker is trusted.

    Raises:
        FileNotFoundError: There is none.
    """
    check_exists(path)
    _trusted.add(_place(path))


def _place(path: str) -> str:
    return os.path.realpath(os.path.expanduser(path))


def allow_training_state(history_buffer: type) -> None:
    """Allow what training writes besides tensors: log histories, numeric numpy values, options.

    numpy's two private names of each function are both listed, so checkpoints
    written under numpy 1 load under numpy 2 and the other way round. Of dtypes only
    numeric ones are: an object array could carry anything.
    """
    if not CAN_LOAD_SAFELY:
        return
    numpy_2 = np.lib.NumpyVersion(np.__version__) >= '2.0.0'
    multiarray = getattr(np, '_core' if numpy_2 else 'core').multiarray
    allowed: list[Any] = [
        history_buffer, np.ndarray, np.dtype, (_statistic_of_history_buffer, 'builtins.getattr')
    ]
    for core in ('numpy._core', 'numpy.core'):
        for name in ('_reconstruct', 'scalar'):
            allowed.append((getattr(multiarray, name), f'{core}.multiarray.{name}'))
    allowed += {type(np.dtype(code)) for code in '?bBhHiIlLqQefd'}
    allowed.append(argparse.Namespace)  # a run's options in the files of MAE, ViC-MAE, VideoMAE
    torch.serialization.add_safe_globals(allowed)


def _statistic_of_history_buffer(owner: object, name: str) -> Callable:
    """What a checkpoint gets for ``getattr``: the four methods that mmengine pickles so."""
    from mmengine.logging import HistoryBuffer
    if owner is HistoryBuffer and name in _STATISTICS:
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'GLOBAL getattr({name!r}) of {owner!r}')


def slim_history_buffer(history_buffer: type) -> None:
    """Save of a ``HistoryBuffer`` its numbers, not its methods.

    New checkpoints then need no ``getattr`` (any mmengine reads them), and loading
    one can't replace methods.
    """

    def get_state(self: Any) -> dict:
        return {name: getattr(self, name) for name in _STATE}

    def set_state(self: Any, state: dict) -> None:
        self.__dict__.update({name: state[name] for name in _STATE})

    history_buffer()  # registers the default statistics, as loading did
    setattr(history_buffer, '__getstate__', get_state)  # noqa: B010
    setattr(history_buffer, '__setstate__', set_state)  # noqa: B010


def guard_loader(loader: Any) -> None:
    """Make mmengine's ``CheckpointLoader`` read data only, from any place.

    Local files, URLs (``torch.hub`` passes ``weights_only=False``) and object stores all
    pass through ``load_checkpoint``. Local ``.safetensors`` files are read too.
    """
    stock = loader.load_checkpoint.__func__

    def load_checkpoint(cls: type, filename: str, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint as data; see the class."""
        if str(filename).endswith('.safetensors') and os.path.isfile(filename):
            return dict(state_dict=_read_safetensors(filename))
        place = _place(str(filename))
        damage = find_damage(place) if os.path.isfile(place) else None
        if damage is not None:
            raise InputError(f'{filename} is not a checkpoint, or is damaged: {damage}. '
                             f'{_another(filename)}')
        try:
            with _data_only(place in _trusted):
                checkpoint = stock(cls, filename, *args, **kwargs)
        except _UNREADABLE as error:
            if not _is_refusal_or_damage(error):
                raise
            raise _for_people(filename, error) from None
        _drop_config_text(checkpoint)
        return checkpoint

    loader.load_checkpoint = classmethod(load_checkpoint)


def _read_safetensors(filename: str) -> dict[str, torch.Tensor]:
    try:
        return load_file(filename)
    except SafetensorError as error:
        raise InputError(f'{filename} is no safetensors file, or is damaged: {error}.') from None


@contextmanager
def _data_only(trusted: bool) -> Iterator[None]:
    """Have every ``torch.load`` inside read data only, whatever it or the user's shell says.

    Of a file that the user has named as trusted it reads all.
    """
    if not CAN_LOAD_SAFELY:
        warnings.warn(
            f'torch {torch.__version__} runs any code that a checkpoint contains: load only '
            'files that you trust, or use torch 2.6 or newer.', stacklevel=4)
        yield
        return
    before = {name: os.environ.pop(name, None) for name in (_FORCE, _FORCE_NOT)}
    chosen = _FORCE_NOT if trusted else _FORCE
    os.environ[chosen] = '1'
    try:
        yield
    finally:
        del os.environ[chosen]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _for_people(filename: str, error: Exception) -> Exception:
    """Say what torch refused without its advice to set ``weights_only=False``."""
    refused = _REFUSED.search(str(error))
    if refused is None:
        return InputError(
            f'{filename} is not a checkpoint, or is damaged (cut off?): {_reason(error)}. '
            f'{_another(filename)}')
    what, of = refused[1] or refused[3], f' of {refused[2]}' if refused[2] else ''
    return UnsafeCheckpointError(
        f'{filename} was refused: it asks for {what}{of}, which is code and not data. '
        'Nothing in it was executed. If you trust whoever made it: the tools of this package '
        f'run what it holds with --trust-checkpoint {shlex.quote(str(filename))}; other tools '
        'read classes that torch.serialization.add_safe_globals([...]) names in a module which '
        'the config imports through custom_imports. If not, ask for a file with weights alone.')


def _another(filename: str) -> str:
    other = newest_undamaged_in_folder_of(filename)
    return ('No undamaged checkpoint was found in this folder; pass another file.'
            if other is None else f'The newest undamaged file in this folder is {other}.')


def _is_refusal_or_damage(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.EINVAL  # torch's reader, over a file cut short
    if isinstance(error, RuntimeError):
        return 'PytorchStreamReader' in str(error) or 'corrupt' in str(error)
    return True


def _reason(error: Exception) -> str:
    text = str(error).rpartition('WeightsUnpickler error: ')[2].strip() or 'it ends too early'
    return text.splitlines()[0]


def _drop_config_text(checkpoint: Any) -> None:
    """Remove the config text that ``Runner.resume`` would execute or carry on.

    ``meta['config']`` is executed by ``Runner.resume`` (``Config.fromstring``). The message
    hub's would replace the text of the config in use. ``meta['cfg']`` stays to be read.
    """
    if not isinstance(checkpoint, dict):
        return
    if isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)
    hub = checkpoint.get('message_hub')
    for part in ('runtime_info', 'resumed_keys'):
        if isinstance(hub, dict) and isinstance(hub.get(part), dict):
            hub[part].pop('cfg', None)


def refuse_config_of_checkpoint(inferencer: Any) -> None:
    """Make mmengine's ``BaseInferencer`` ask for a config.

    Without one it would execute the text in the checkpoint. Parsing that text as plain data
    would not help: a config names what to call (``type='os.system'``).
    """
    stock = inferencer._init_model

    def init_model(self: Any, cfg: Any, weights: str | None, *args: Any, **kwargs: Any) -> Any:
        if not cfg:
            raise InputError(
                f'The config in {weights} is not used: a config can call any code, and that of '
                "a checkpoint is not yours. Name the config: model='path/to/config.py'.")
        return stock(self, cfg, weights, *args, **kwargs)

    inferencer._init_model = init_model
