"""Samples from one process to another: arrays and tensors as their bare bytes.

``torch.multiprocessing`` would put every tensor into a shared file of its own, and plain pickling
copies one several times.
"""
import copyreg
import io
import mmap
import pickle
from collections import ChainMap
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

_WORTH_SHARING = 2**14  # bytes; smaller arrays go with the rest
_SHARED_BYTES = 2**24  # 50 pairs of frames at 224 pixels; taken from the system as it is filled
_ALIGNMENT = 64


class SampleSender:
    """Sends values over a pipe, and their large arrays through memory of both processes.

    Made before the fork, used to send in one process and to receive in the other, one value at a
    time. Arrays that do not fit go over the pipe.
    """

    def __init__(self) -> None:
        self._shared = memoryview(mmap.mmap(-1, _SHARED_BYTES))

    def send(self, pipe: Connection, value: Any) -> None:
        """Send any value that can be pickled; the last one must have been received.

        Raises:
            OSError: Nobody receives it.
            Exception: What pickling raised; then nothing was sent.
        """
        file = io.BytesIO()
        buffers: list[memoryview] = []
        _Pickler(file, buffers).dump(value)
        sizes = [view.nbytes for view in buffers]
        rest = []
        for view, place in zip(buffers, self._places(sizes), strict=True):
            if place is None:
                rest.append(view)
            else:
                self._shared[place:place + view.nbytes] = view
        pipe.send_bytes(pickle.dumps((file.getvalue(), sizes), protocol=5))
        for view in rest:
            pipe.send_bytes(view)

    def receive(self, pipe: Connection) -> Any:
        """What the other process sent, in memory of its own that can be written to.

        Raises:
            EOFError: The sender is gone.
        """
        value, sizes = pickle.loads(pipe.recv_bytes())
        buffers = [np.empty(size, np.uint8) for size in sizes]
        for buffer, place in zip(buffers, self._places(sizes), strict=True):
            if place is None:
                pipe.recv_bytes_into(buffer)
            else:
                buffer.data[:] = self._shared[place:place + buffer.nbytes]
        return pickle.loads(value, buffers=buffers)

    def _places(self, sizes: list[int]) -> Iterator[int | None]:
        """Where arrays of these sizes lie in the shared memory; None for those that do not fit."""
        place = 0
        for size in sizes:
            if place + size > len(self._shared):
                yield None
                continue
            yield place
            place += -(-size // _ALIGNMENT) * _ALIGNMENT


class _Pickler(pickle.Pickler):
    """Pickles tensors as numpy arrays, and leaves large arrays out."""

    def __init__(self, file: io.BytesIO, buffers: list[memoryview]) -> None:
        def keep(buffer: pickle.PickleBuffer) -> bool:
            view = buffer.raw()
            if view.nbytes >= _WORTH_SHARING:
                buffers.append(view)
                return False
            return True

        super().__init__(file, protocol=5, buffer_callback=keep)
        self.dispatch_table: Any = ChainMap({torch.Tensor: _reduce_tensor}, copyreg.dispatch_table)


def _reduce_tensor(tensor: torch.Tensor) -> Any:
    try:
        return torch.from_numpy, (tensor.numpy(), )
    except (RuntimeError, TypeError):  # numpy has no such type, or it needs a gradient
        return tensor.__reduce_ex__(5)
