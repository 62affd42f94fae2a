"""Sending samples between processes: arrays and tensors as raw bytes in shared memory."""
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

_MIN_SHARED_BYTES = 2**14  # smaller arrays are pickled with the rest
_SHARED_BYTES = 2**24  # 50 pairs of frames at 224 pixels; taken from the system as it is filled
_ALIGNMENT = 64


# torch.multiprocessing would create a shared file per tensor; plain pickling makes several copies.
class SampleSender:
    """Sends values through a pipe, and their large arrays through memory that is shared.

    Create it before the fork; then one process sends and the other receives, one value at a time.
    Arrays that do not fit into the shared memory are sent through the pipe.
    """

    def __init__(self) -> None:
        # Anonymous and shared: a forked child sees the same pages, and no file can be left over.
        self._shared = memoryview(mmap.mmap(-1, _SHARED_BYTES))

    def send(self, pipe: Connection, value: Any) -> None:
        """Send a value that can be pickled; the previous one must have been received.

        Raises:
            OSError: The receiver is gone.
            Exception: Whatever pickling raised; in this case nothing was sent.
        """
        data, buffers = _pickle(value)
        sizes = [view.nbytes for view in buffers]
        oversized = []
        for view, offset in zip(buffers, self._offsets(sizes), strict=True):
            if offset is None:
                oversized.append(view)
            else:
                self._shared[offset:offset + view.nbytes] = view
        pipe.send_bytes(pickle.dumps((data, sizes), protocol=5))
        for view in oversized:
            pipe.send_bytes(view)

    def receive(self, pipe: Connection) -> Any:
        """Receive what the other process sent, in writable memory of this process.

        Raises:
            EOFError: The sender is gone.
        """
        data, sizes = pickle.loads(pipe.recv_bytes())
        # Copies: the next value will overwrite the shared memory.
        buffers = [np.empty(size, np.uint8) for size in sizes]
        for buffer, offset in zip(buffers, self._offsets(sizes), strict=True):
            if offset is None:
                pipe.recv_bytes_into(buffer)
            else:
                buffer.data[:] = self._shared[offset:offset + buffer.nbytes]
        return pickle.loads(data, buffers=buffers)

    def _offsets(self, sizes: list[int]) -> Iterator[int | None]:
        """Offsets of arrays in the shared memory; None for those that do not fit."""
        # They follow from the sizes, so both sides compute the same.
        offset = 0
        for size in sizes:
            if offset + size > len(self._shared):
                yield None
                continue
            yield offset
            offset += -(-size // _ALIGNMENT) * _ALIGNMENT


def _pickle(value: Any) -> tuple[bytes, list[memoryview]]:
    """Pickle a value without its large arrays; also returns the memory of these."""
    buffers = []

    def is_small(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < _MIN_SHARED_BYTES:
            return True
        buffers.append(view)
        return False

    file = io.BytesIO()
    pickler: Any = pickle.Pickler(file, protocol=5, buffer_callback=is_small)
    # Tensors become numpy arrays, as torch would copy their bytes into the pickle.
    pickler.dispatch_table = ChainMap({torch.Tensor: _reduce_tensor}, copyreg.dispatch_table)
    pickler.dump(value)
    return file.getvalue(), buffers


def _reduce_tensor(tensor: torch.Tensor) -> Any:
    try:
        return torch.from_numpy, (tensor.numpy(), )
    except (RuntimeError, TypeError):  # a type that numpy lacks, or a tensor that needs a gradient
        return tensor.__reduce_ex__(5)
