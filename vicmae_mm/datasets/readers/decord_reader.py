"""Reading with decord files in which it seeks correctly."""
from types import ModuleType

import numpy as np

from .base import VideoError
from .seeking_reader import SeekingReader


class DecordReader(SeekingReader):
    """Reads single frames with decord, in its accurate mode (never ``efficient``)."""
    backend = 'decord'

    def __init__(self, path: str) -> None:
        decord = self.library()
        self.errors = (decord.DECORDError, RuntimeError, ValueError)
        try:
            self._video = decord.VideoReader(path, num_threads=1)
            # It opens some files that it cannot convert to RGB, such as those 48 pixels wide.
            self._read([0])
        except self.errors as error:
            # The remaining lines of decord's messages are a C++ stack trace.
            reason = str(error).strip().split('\n')[0]
            raise VideoError(path, f'decord cannot read it ({reason})') from error
        super().__init__(path, len(self._video), float(self._video.get_avg_fps()))

    @staticmethod
    def library() -> ModuleType:
        """Return the module, or raise an ImportError that says what to install."""
        try:
            import decord
        except ImportError as error:
            raise ImportError("the backend 'decord' needs the package decord, which exists for "
                              'x86-64 only: pip install decord') from error
        return decord

    def _read(self, wanted: list[int]) -> np.ndarray:
        return self._video.get_batch(wanted).asnumpy()
