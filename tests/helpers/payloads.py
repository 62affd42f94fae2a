"""Objects and texts that make a folder, the marker, when a checkpoint with them is executed."""
import os
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from vicmae_mm.checkpoints.safety import CAN_LOAD_SAFELY

safe_torch = pytest.mark.skipif(
    not CAN_LOAD_SAFELY, reason='torch before 2.6 has no safe way to load a checkpoint')


class Pickled:
    """Pickles as the call ``function(*args)`` with ``state``."""

    def __init__(self, function: Any, *args: Any, state: Any = None) -> None:
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> tuple:
        return self.reduced

    def __call__(self) -> None:
        """Let what this pickles as be called in turn."""
        raise TypeError('it is to be pickled')


class RunsOnSetState:
    """A class of some library that acts when its state is set."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __getstate__(self) -> str:
        return self.marker

    def __setstate__(self, marker: str) -> None:
        os.mkdir(marker)


STOCK_STATE = dict(
    max_length=10, _log_history=np.array([1., 3.]), _count_history=np.array([1, 1]),
    statistics_methods={n: getattr(HistoryBuffer, n) for n in ('min', 'max', 'current', 'mean')})


def chain(*names: str, owner: object = HistoryBuffer) -> object:
    """``getattr(getattr(owner, a), b)...``"""
    for name in names:
        owner = Pickled(getattr, owner, name)
    return owner


def object_array(content: object) -> np.ndarray:
    array = np.empty(1, object)
    array[0] = content
    return array


def code(marker: str) -> str:
    """An expression that makes the marker."""
    return f'__import__("os").mkdir({marker!r})'


def attacks(marker: str) -> dict[str, object]:
    """Objects to put into a checkpoint, by name."""
    run = code(marker)
    mkdir = Pickled(os.mkdir, marker)
    numpy_2 = np.lib.NumpyVersion(np.__version__) >= '2.0.0'
    multiarray = getattr(np, '_core' if numpy_2 else 'core').multiarray
    # HistoryBuffer.min.__globals__['__builtins__']['eval'](run), without naming eval
    builtins = Pickled(chain('min', '__globals__', 'get'), '__builtins__')
    return dict(
        os_system=Pickled(os.system, f'mkdir {marker}'),
        os_mkdir=mkdir,
        eval=Pickled(eval, run),
        exec=Pickled(exec, run),
        builtins_import=Pickled(__import__, 'antigravity'),
        getattr_init=chain('__init__'),
        getattr_register=chain('register_statistics'),
        getattr_globals=chain('min', '__globals__'),
        getattr_chain=Pickled(Pickled(Pickled(getattr, builtins, 'get'), 'eval'), run),
        getattr_ndarray=chain('tofile', owner=np.ndarray),
        object_array=object_array(mkdir),
        object_scalar=Pickled(multiarray.scalar, np.dtype('O'), pickle.dumps(mkdir)),
        storage_bytes=Pickled(torch.storage._load_from_bytes, pickle.dumps(mkdir)),
        load=Pickled(torch.load, marker),
        in_history_buffer=Pickled(HistoryBuffer, state=dict(STOCK_STATE, max_length=mkdir)),
        set_state=RunsOnSetState(marker),
    )


NAMES = sorted(attacks('marker'))
OBJECTS = ('os_system', 'eval', 'storage_bytes', 'getattr_chain', 'in_history_buffer', 'set_state')
TEXTS = ('meta_config', 'meta_cfg')


def poison(checkpoint: dict, payload: str, marker: str) -> dict:
    """A copy of a checkpoint with one of ``OBJECTS`` or ``TEXTS`` in it."""
    meta = {**checkpoint.get('meta', {})}
    if payload in OBJECTS:
        return {**checkpoint, 'meta': {**meta, 'x': attacks(marker)[payload]}}
    text = f'x = {code(marker)}\n'
    return {**checkpoint, 'meta': {**meta, payload.removeprefix('meta_'): text}}
