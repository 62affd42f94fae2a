"""Sending samples between processes: arrays and tensors as raw bytes in shared memory."""
import copyreg
import io
import mmap
import pickle
from collections import ChainMap
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
        places: list[slice] = []

        def is_pickled(buffer: pickle.PickleBuffer) -> bool:
            view = buffer.raw()
            begin = -(-places[-1].stop // _ALIGNMENT) * _ALIGNMENT if places else 0
            place = slice(begin, begin + view.nbytes)
            if view.nbytes < _MIN_SHARED_BYTES or place.stop > _SHARED_BYTES:
                return True
            self._shared[place] = view
            places.append(place)
            return False

        file = io.BytesIO()
        pickler: Any = pickle.Pickler(file, protocol=5, buffer_callback=is_pickled)
        # Tensors become numpy arrays, as torch would copy their bytes into the pickle.
        pickler.dispatch_table = ChainMap({torch.Tensor: _reduce_tensor}, copyreg.dispatch_table)
        pickler.dump(value)
        bounds = [(place.start, place.stop) for place in places]
        pipe.send_bytes(pickle.dumps((file.getvalue(), bounds), protocol=5))

    def receive(self, pipe: Connection) -> Any:
        """Receive what the other process sent, in writable memory of this process.

        Raises:
            EOFError: The sender is gone.
        """
        data, bounds = pickle.loads(pipe.recv_bytes())
        # Copies: the next value will overwrite the shared memory.
        return pickle.loads(data, buffers=[
            np.array(self._shared[begin:end]) for begin, end in bounds])


def _reduce_tensor(tensor: torch.Tensor) -> Any:
    try:
        return torch.from_numpy, (tensor.numpy(), )
    except (RuntimeError, TypeError):  # a type that numpy lacks, or a tensor that needs a gradient
        return tensor.__reduce_ex__(5)
