"""The one way in: a path and the name of a backend, an opened video."""
from .base import VideoReader
from .pyav_reader import PyAVReader

BACKENDS: dict[str, type[VideoReader]] = {'pyav': PyAVReader}


def check_backend(backend: str) -> None:
    """Raise a ValueError for an unknown backend."""
    if backend not in BACKENDS:
        raise ValueError(f'there is no video backend {backend!r}: it is one of '
                         f'{", ".join(map(repr, BACKENDS))}')


def open_video(path: str, backend: str = 'pyav') -> VideoReader:
    check_backend(backend)
    return BACKENDS[backend](path)
