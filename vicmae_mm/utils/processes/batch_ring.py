"""Batches in shared memory that the workers of a dataloader use again and again."""
import math
import mmap
import multiprocessing
import os
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from mmengine.dataset import default_collate
from torch import Tensor
from torch.utils.data import DataLoader

_rings: weakref.WeakValueDictionary[int, 'BatchRing'] = weakref.WeakValueDictionary()


def ring_collate(loader: DataLoader) -> Callable:
    """The collate function for a dataloader's next workers: with a ring, if it stacks.

    The ring is for forked, persistent workers: others would have to be given new memory.
    """
    collate = loader.collate_fn
    if isinstance(collate, partial) and collate.func is default_collate and (
            loader.persistent_workers and loader._iterator is None and loader.batch_size
            and (loader.multiprocessing_context or multiprocessing).get_start_method() == 'fork'):
        # what workers have in hand or have sent, one batch in use, and one being copied to a GPU
        num_slots = loader.num_workers * (loader.prefetch_factor or 0) + 2
        with suppress(OSError, AttributeError):
            return BatchRing(num_slots, loader.batch_size,
                             loader.pin_memory and torch.cuda.is_available()).collate
    return collate


class BatchRing:
    """Slots of shared memory: workers write batches into them, this process uses them in place.

    New memory costs a fault per page, there and here. A slot is free again when no tensor uses it.
    Create the ring before the workers fork. The first batch sets the size of the slots.

    Args:
        num_slots: Most batches at a time. Workers send others, and larger ones, as torch does.
        lock: Lock the memory, so that torch need not copy batches to memory that is locked.
            Dropping the last tensor of a slot then waits for the current stream of the GPU.

    Raises:
        OSError, AttributeError: The system has no such memory.
    """

    def __init__(self, num_slots: int, batch_size: int, lock: bool = False) -> None:
        # Not limited as /dev/shm is, and without a name by which it could be left over.
        self._file = os.fdopen(os.memfd_create('batches'), 'r+b', 0)
        self._mutex = multiprocessing.get_context('fork').Lock()
        self._slot_size = np.frombuffer(mmap.mmap(-1, 8), np.int64)
        self._in_use = np.frombuffer(mmap.mmap(-1, num_slots), np.uint8)
        self._batch_size = batch_size
        self._is_locked = None if lock else False  # None: not yet, because it has no size
        _rings[id(self)] = self

    def collate(self, samples: Sequence[Any]) -> Any:
        """In a worker: mmengine's ``default_collate``, with the inputs in a slot if possible.

        Such inputs become tensors where they are received.
        """
        views = _views(samples)
        # on cache lines of their own
        sizes = [-(-view[0].nbytes // 64) * 64 for view in views]
        slot = self._take(sum(sizes) * len(samples), sum(sizes) * self._batch_size)
        if slot is None:
            return default_collate(samples)
        memory, whole = torch.from_numpy(self._bytes(slot)), _Sent(_receive, id(self), slot)
        sent, begin = [], 0
        for view, size in zip(views, sizes, strict=True):
            part = begin, view[0].dtype, (len(view), *view[0].shape)
            torch.stack(view, out=_part(memory, *part))
            sent.append(_Sent(_part, whole, *part))
            begin += size * len(view)
        inputs = sent if isinstance(samples[0]['inputs'], list) else sent[0]
        # in this order, by which mmpretrain's preprocessor goes
        return {key: inputs if key == 'inputs' else default_collate([each[key] for each in samples])
                for key in samples[0]}

    def _take(self, size: int, largest: int) -> int | None:
        """A free slot, marked as in use; None if there is none of this size, above 0."""
        with self._mutex:
            if not self._slot_size[0]:
                self._file.truncate(len(self._in_use) * largest)
                self._slot_size[0] = largest
            free = np.flatnonzero(self._in_use == 0)
            if not 0 < size <= self._slot_size[0] or not len(free):
                return None
            self._in_use[free[0]] = 1
            return int(free[0])

    def receive(self, slot: int) -> Tensor:
        """The bytes of a slot, which is free again when no tensor uses this one's memory."""
        if self._is_locked is None:
            self._is_locked = self._lock()
        array = self._bytes(slot)
        weakref.finalize(array, self._free, slot).atexit = False
        return torch.from_numpy(array)

    def _free(self, slot: int) -> None:
        if self._is_locked:  # the GPU may still be reading
            event = torch.cuda.Event()
            event.record()
            event.synchronize()
        self._in_use[slot] = 0

    def _lock(self) -> bool:
        cuda, memory = torch.cuda.cudart(), self._memory
        address = np.frombuffer(memory, np.uint8).ctypes.data
        if int(cuda.cudaHostRegister(address, len(memory), 0)):
            with suppress(RuntimeError):  # otherwise the next kernel would raise this error
                torch.zeros(1, device='cuda')
            return False
        # The memory is an argument because it must not be unmapped before.
        weakref.finalize(self, lambda memory: cuda.cudaHostUnregister(address), memory)
        return True

    def _bytes(self, slot: int) -> np.ndarray:
        size = int(self._slot_size[0])
        return np.frombuffer(self._memory, np.uint8, size, slot * size)

    @cached_property
    def _memory(self) -> mmap.mmap:
        return mmap.mmap(self._file.fileno(), len(self._in_use) * int(self._slot_size[0]))


class _Sent:
    """Becomes ``function(*args)`` in the process that receives it."""

    def __init__(self, function: Callable, *args: Any) -> None:
        self._call = function, args

    def __reduce__(self) -> tuple:
        return self._call


def _receive(ring: int, slot: int) -> Tensor:
    return _rings[ring].receive(slot)


def _part(memory: Tensor, begin: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    return memory[begin:begin + math.prod(shape) * dtype.itemsize].view(dtype).view(shape)


def _views(samples: Sequence[Any]) -> list[tuple[Tensor, ...]]:
    """The inputs of samples, view by view; none if they cannot be stacked."""
    inputs = [sample.get('inputs') if type(sample) is dict else None for sample in samples]
    rows = [each if isinstance(each, list) else [each] for each in inputs]
    kinds = {(type(each), *((view.shape, view.dtype) if type(view) is Tensor else None
                            for view in row)) for each, row in zip(inputs, rows, strict=True)}
    return [] if len(kinds) > 1 or None in next(iter(kinds)) else [*zip(*rows, strict=True)]
