"""Reading with decord files in which it seeks correctly."""
from types import ModuleType

import numpy as np

from .base import VideoError, VideoReader


class DecordReader(VideoReader):
    """Reads single frames with decord, in its accurate mode (never ``efficient``).

    Only for files without a :func:`~vicmae_mm.datasets.readers.factory.seek_problem`.
    """

    def __init__(self, path: str) -> None:
        self._decord = self.library()
        try:
            self._video = self._decord.VideoReader(path, num_threads=1)
            # It opens some files that it cannot convert to RGB, such as those 48 pixels wide.
            self._video.get_batch([0]).asnumpy()
        except (self._decord.DECORDError, RuntimeError, UnicodeError) as error:
            raise VideoError(path, f'decord cannot read it ({_first_line(error)})') from error
        super().__init__(path, len(self._video), float(self._video.get_avg_fps()))

    @staticmethod
    def library() -> ModuleType:
        """Return the module, or raise an ImportError that says what to install."""
        try:
            import decord
        except ImportError as error:
            raise ImportError("the backend 'decord' needs decord: pip install decord") from error
        return decord

    def _decode(self, wanted: list[int]) -> dict[int, np.ndarray]:
        try:
            frames = self._video.get_batch(wanted).asnumpy()
        except (self._decord.DECORDError, RuntimeError) as error:
            raise VideoError(
                self.path, f'decord cannot decode it ({_first_line(error)})') from error
        return dict(zip(wanted, frames, strict=True))

    def close(self) -> None:
        self._video = None


def _first_line(error: Exception) -> str:
    # The remaining lines of decord's messages are a C++ stack trace.
    return str(error).strip().split('\n')[0]
