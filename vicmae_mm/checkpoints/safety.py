"""Safe checkpoint loading: nothing in a checkpoint is ever executed.

From torch 2.6 on, :func:`torch.load` builds only what it is allowed to. This module allows exactly
what mmengine's training state consists of, closes the ways around it, refuses damaged files, and
explains refusals. torch before 2.6 cannot load a training checkpoint safely (and its
``weights_only=True`` could be broken out of, CVE-2025-32434): a warning says so.
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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from vicmae_mm.utils.errors import InputError, UserError

from .file_kinds import foreign_kind, is_safetensors
from .integrity import find_damage
from .weight_folders import check_exists, files_of_weights

CAN_LOAD_SAFELY = tuple(int(n) for n in torch.__version__.split('.')[:2]) >= (2, 6)
_STATISTICS = ('min', 'max', 'current', 'mean')
# What torch raises for files that are truncated, empty or something else.
_UNREADABLE = (pickle.UnpicklingError, EOFError, LookupError, struct.error, RuntimeError, OSError)
_REFUSED = re.compile(r"GLOBAL (\S+)(?: of (.+))?|(?:but got|function) <?(?:class )?'?([\w.]+)")
# torch.load raises if both are set, so exactly one is while a checkpoint is read.
_FORCE, _FORCE_NOT = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
_trusted: set[str] = set()


class UnsafeCheckpointError(UserError, pickle.UnpicklingError):
    """A checkpoint contains more than data."""


def trust(path: str) -> None:
    """Let this process execute what one local file contains, except its config text.

    Errors are those of :func:`check_exists`; the content of a URL can change.
    """
    check_exists(path, allow_url=False)
    _trusted.add(_resolve(path))


def _resolve(path: str) -> str:
    return os.path.realpath(os.path.expanduser(path))


def allow_training_state(history_buffer: type) -> None:
    """Allow what training saves besides tensors: log histories, numeric numpy values, options."""
    if not CAN_LOAD_SAFELY:
        return
    numpy_2 = np.lib.NumpyVersion(np.__version__) >= '2.0.0'
    multiarray = getattr(np, '_core' if numpy_2 else 'core').multiarray
    # The message hub has a HistoryBuffer of two arrays per logged scalar. Stock mmengine pickles
    # its methods as calls of getattr, which would reach any code: it gets a stand-in.
    allowed: list[Any] = [
        history_buffer, np.ndarray, np.dtype, (_statistic_of_history_buffer, 'builtins.getattr')
    ]
    # numpy pickles arrays and scalars (best_score) as calls of these two private functions. Under
    # both names, files written with numpy 1 load with numpy 2 and the reverse.
    for core in ('numpy._core', 'numpy.core'):
        for name in ('_reconstruct', 'scalar'):
            allowed.append((getattr(multiarray, name), f'{core}.multiarray.{name}'))
    # Numeric dtypes only: the elements of an object array could be anything.
    allowed += {type(np.dtype(code)) for code in '?bBhHiIlLqQefd'}
    # The options of a run, in the files of MAE, ViC-MAE and VideoMAE: names and values, no code.
    allowed.append(argparse.Namespace)
    torch.serialization.add_safe_globals(allowed)


def _statistic_of_history_buffer(owner: object, name: str) -> Callable:
    """Stand-in for ``getattr``: the four methods that mmengine pickles, and nothing else."""
    from mmengine.logging import HistoryBuffer
    if owner is HistoryBuffer and name in _STATISTICS:
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'GLOBAL getattr({name!r}) of {owner!r}')


def guard_loader(loader: Any) -> None:
    """Make mmengine's ``CheckpointLoader`` read only data, and read local ``.safetensors`` too.

    Local files, URLs and object stores all pass through ``load_checkpoint``.
    """
    stock = loader.load_checkpoint.__func__

    def load_checkpoint(cls: type, filename: str, map_location: Any = None,
                        logger: Any = None) -> Any:
        """Load a checkpoint as data only; see :func:`guard_loader`."""
        path = _resolve(str(filename))
        if os.path.isdir(path) or path.endswith('.index.json'):
            parts = [load_checkpoint(cls, str(part), map_location, logger)
                     for part in files_of_weights(path)]
            return parts[0] if len(parts) == 1 else dict(
                state_dict={key: value for part in parts
                            for key, value in part.get('state_dict', part).items()})
        if is_safetensors(path):
            return dict(state_dict=_read_safetensors(str(filename)))
        damage = find_damage(path) if os.path.isfile(path) else None
        if damage is not None:
            raise InputError(f'{filename} is not a checkpoint, or is damaged: {damage}. '
                             f'{_alternative(filename)}')
        try:
            with _data_only(path in _trusted):
                # For None, mmengine prints the name, in every process and in no log.
                checkpoint = stock(cls, filename, map_location, logger or 'silent')
        except _UNREADABLE as error:
            if not _is_refusal_or_damage(error):
                raise
            raise _user_error(filename, error) from None
        _drop_config_text(checkpoint)
        return checkpoint

    loader.load_checkpoint = classmethod(load_checkpoint)


def _read_safetensors(filename: str) -> dict[str, torch.Tensor]:
    try:
        return load_file(os.path.expanduser(filename))
    except SafetensorError as error:
        kind = foreign_kind(os.path.expanduser(filename))
        raise InputError(f'{filename} is not a safetensors file, or is damaged: '
                         f'{f"it is {kind}" if kind else error}.') from None


@contextmanager
def _data_only(trusted: bool) -> Iterator[None]:
    """Make every ``torch.load`` inside read only data, or everything from a trusted file."""
    if not CAN_LOAD_SAFELY:
        warnings.warn(
            f'torch {torch.__version__} runs any code that a checkpoint contains: load only '
            'files that you trust, or use torch 2.6 or newer.', stacklevel=4)
        yield
        return
    # By environment, as it also overrides torch.hub's weights_only=False (URLs). What the shell
    # sets is put aside: _FORCE_NOT is often recommended against mmengine's loading errors.
    before = {name: os.environ.pop(name, None) for name in (_FORCE, _FORCE_NOT)}
    chosen = _FORCE_NOT if trusted else _FORCE
    os.environ[chosen] = '1'
    try:
        yield
    finally:
        del os.environ[chosen]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _user_error(filename: str, error: Exception) -> Exception:
    """Say what torch refused, without its advice to set ``weights_only=False``."""
    refused = _REFUSED.search(str(error))
    if refused is None:
        reason = str(error).rpartition('WeightsUnpickler error: ')[2].strip() or 'it ends too early'
        return InputError(
            f'{filename} is not a checkpoint, or is damaged (truncated?): '
            f'{reason.splitlines()[0]}. {_alternative(filename)}')
    what, of = refused[1] or refused[3], f' of {refused[2]}' if refused[2] else ''
    return UnsafeCheckpointError(
        f'Refused to load {filename}: it references {what}{of}, which would execute code. '
        'Nothing in it was executed. If you trust its author: the tools of this package execute '
        f'its content with --trust-checkpoint {shlex.quote(str(filename))}; for other tools, '
        'allow its classes by torch.serialization.add_safe_globals([...]) in a module that the '
        'config imports through custom_imports. Otherwise, ask for a file with weights only.')


def _alternative(filename: str) -> str:
    if '://' in str(filename):
        return 'Download it again, or pass another file.'
    path = Path(filename).expanduser()
    others = [each for each in path.parent.glob(f'*{path.suffix}') if each.is_file()]
    others.sort(key=lambda each: each.stat().st_mtime_ns, reverse=True)
    other = next((each for each in others if each != path and not find_damage(each)), None)
    return ('No undamaged checkpoint was found in this folder; pass another file.'
            if other is None else f'The newest undamaged file in this folder is {other}.')


def _is_refusal_or_damage(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.EINVAL  # torch's reader, for a truncated file
    if isinstance(error, RuntimeError):
        return 'PytorchStreamReader' in str(error) or 'corrupt' in str(error)
    return True


def _drop_config_text(checkpoint: Any) -> None:
    """Remove the config text that ``Runner.resume`` would execute or adopt."""
    if not isinstance(checkpoint, dict):
        return
    # Runner.resume executes this text by Config.fromstring. meta['cfg'] stays: nothing runs it.
    if isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)
    # The message hub's text would replace that of the config in use, also in later checkpoints.
    hub = checkpoint.get('message_hub')
    for part in ('runtime_info', 'resumed_keys'):
        if isinstance(hub, dict) and isinstance(hub.get(part), dict):
            hub[part].pop('cfg', None)


def refuse_config_of_checkpoint(inferencer: Any) -> None:
    """Make mmengine's ``BaseInferencer`` require a config: it would execute the checkpoint's."""
    stock = inferencer._init_model

    def init_model(self: Any, cfg: Any, weights: str | None, *args: Any, **kwargs: Any) -> Any:
        # Parsing the text as plain data would not help: it names what to call (type='os.system').
        if not cfg:
            raise InputError(
                f'The config in {weights} is not used: a config can execute any code, and a '
                "checkpoint may come from anybody. Name the config: model='path/to/config.py'.")
        return stock(self, cfg, weights, *args, **kwargs)

    inferencer._init_model = init_model
