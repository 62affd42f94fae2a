"""Reading with decord or torchcodec, which find frames by themselves, as long as that works."""
from abc import abstractmethod
from types import ModuleType
from typing import Any

import numpy as np

from .base import VideoError, VideoReader
from .messages import warn_once
from .pyav_reader import PyAVReader


class SeekingReader(VideoReader):
    """Reads single frames with another library; from its first error on, with PyAV.

    Only for files without a :func:`~vicmae_mm.datasets.readers.factory.seek_problem`.
    """
    backend: str  # name of the library
    errors: tuple[type[Exception], ...]  # that it raises for a frame that it cannot decode
    _video: Any
    _pyav: PyAVReader | None = None

    @abstractmethod
    def _read(self, wanted: list[int]) -> np.ndarray:
        """Decode the frames ``wanted``, which are ascending, distinct and in range."""

    def _decode(self, wanted: list[int]) -> dict[int, np.ndarray]:
        if self._pyav is None:
            try:
                return dict(zip(wanted, self._read(wanted), strict=True))
            except self.errors:
                # Without the message, which differs from file to file.
                warn_once(f'{self.backend} cannot decode all of its frames: PyAV reads it instead '
                          f'of {self.backend}', self.path)
            self._video = None
            self._pyav = PyAVReader(self.path)
        return self._pyav._decode(wanted)

    def close(self) -> None:
        self._video = None
        if self._pyav is not None:
            self._pyav.close()


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


class TorchCodecReader(SeekingReader):
    """Reads single frames with torchcodec, in its exact mode (never ``approximate``).

    On the ``device`` ``'cuda'`` NVDEC decodes, if it supports the codec; frames are numpy arrays in
    any case.
    """
    backend = 'torchcodec'
    errors = (RuntimeError, ValueError, IndexError)

    def __init__(self, path: str, device: str = 'cpu') -> None:
        decoders = self.library()
        try:
            self._video = decoders.VideoDecoder(
                path, seek_mode='exact', dimension_order='NHWC', num_ffmpeg_threads=1,
                device=device)
        except self.errors as error:
            raise VideoError(path, f'torchcodec cannot open it ({error})') from error
        super().__init__(path, len(self._video), float(self._video.metadata.average_fps or 0))

    @staticmethod
    def library() -> ModuleType:
        """Return ``torchcodec.decoders``, or raise an ImportError that says what to install."""
        try:
            import torchcodec
            from torchcodec import decoders
            # Without FFmpeg, some versions can be imported and fail only when a video is opened.
            if getattr(torchcodec, 'ffmpeg_major_version', '') is None:
                raise ImportError('it finds no FFmpeg version that it supports')
        except (ImportError, RuntimeError, OSError) as error:  # depends on what is missing
            raise ImportError(
                "the backend 'torchcodec' needs torchcodec (0.12 or later for torch 2.11 or later, "
                "else the version for this torch) and FFmpeg's shared libraries, which its wheel "
                'lacks: pip install torchcodec, and apt-get install ffmpeg or conda install ffmpeg '
                f'({str(error).strip().splitlines()[0]})') from error
        return decoders

    def _read(self, wanted: list[int]) -> np.ndarray:
        return self._video.get_frames_at(wanted).data.cpu().numpy()
