"""The one way in: a path and the name of a backend, an opened video."""
from vicmae_mm.datasets.readers.kept_index.index_store import IndexStore
from vicmae_mm.datasets.readers.kept_index.indexed_reader import open_indexed
from vicmae_mm.utils.errors import InputError

from .base import VideoError, VideoReader
from .decord_reader import DecordReader
from .messages import warn_once
from .pyav_reader import PyAVReader
from .seekability import seek_problem
from .torchcodec_reader import TorchCodecReader

BACKENDS = {'pyav': PyAVReader, 'torchcodec': TorchCodecReader, 'decord': DecordReader}


def open_video(path: str, backend: str = 'pyav', store: IndexStore | None = None,
               device: str = 'cpu') -> VideoReader:
    """Open a video for reading single frames.

    Args:
        path: A local file.
        backend: ``'pyav'``, ``'torchcodec'`` or ``'decord'``. The last two also need PyAV, which
            looks at the packets of a file first: a file in which they would return other frames
            than a decode from the start is read by PyAV instead, and the log says so.
        store: Where indexes are kept, which make opening a video again cheaper; for PyAV only.
        device: Where torchcodec decodes; PyAV, where it takes its place, does so on the CPU.

    Returns:
        The open reader: close it, or use it in a ``with`` statement.

    Raises:
        ValueError: There is no such backend.
        ImportError: The package of the backend is not installed; the message names it.
        VideoError: The file is missing, is not a video, or holds no frame that decodes.
    """
    check_backend(backend)
    if backend == 'pyav':
        return PyAVReader(path) if store is None else open_indexed(path, store)
    other = DecordReader if backend == 'decord' else TorchCodecReader
    other.library()
    pyav = PyAVReader(path)
    problem = seek_problem(pyav)
    if not problem:
        try:
            reader = other(path) if device == 'cpu' else TorchCodecReader(path, device)
            if reader.num_frames == pyav.num_frames:
                pyav.close()
                return reader
            problem = f'{backend} counts {reader.num_frames} frames of {pyav.num_frames}'
            reader.close()
        except VideoError as error:
            problem = error.reason
    warn_once(f'{problem}: not for {backend}, PyAV reads it', path)
    return pyav


def check_backend(backend: str) -> None:
    """Raise a ValueError if there is no such backend."""
    if backend not in BACKENDS:
        raise InputError(f'there is no video backend {backend!r}, only '
                         f'{", ".join(map(repr, BACKENDS))}')
