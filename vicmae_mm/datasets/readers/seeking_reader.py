"""Reading with another library, which finds frames by itself, and with PyAV once that fails."""
from abc import abstractmethod
from typing import Any

import numpy as np

from .base import VideoReader
from .messages import warn_once
from .pyav_reader import PyAVReader


class SeekingReader(VideoReader):
    """Reads single frames with another library; from its first error on, with PyAV.

    Only for files without a :func:`~vicmae_mm.datasets.readers.factory.seek_problem`.

    Attributes:
        backend: Name of the library.
        errors: What the library raises for a frame that it cannot decode.
    """
    backend: str
    errors: tuple[type[Exception], ...]
    _video: Any
    _pyav: PyAVReader | None = None

    @abstractmethod
    def _read(self, wanted: list[int]) -> np.ndarray:
        """Decode the frames ``wanted``, which are ascending, distinct and in range."""

    def _release(self) -> None:
        """Close the file in the library."""
        self._video = None

    def _decode(self, wanted: list[int]) -> dict[int, np.ndarray]:
        if self._pyav is None:
            try:
                return dict(zip(wanted, self._read(wanted), strict=True))
            except self.errors:
                # Without the message, which differs from file to file.
                warn_once(f'{self.backend} cannot decode all of its frames: PyAV reads it instead '
                          f'of {self.backend}', self.path)
            self._release()
            self._pyav = PyAVReader(self.path)
        return self._pyav._decode(wanted)

    def close(self) -> None:
        self._release()
        if self._pyav is not None:
            self._pyav.close()
