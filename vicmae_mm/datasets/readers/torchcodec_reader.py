"""Reading with torchcodec files in which it seeks correctly."""
from types import ModuleType

import numpy as np

from .base import VideoError
from .seeking_reader import SeekingReader


class TorchCodecReader(SeekingReader):
    """Reads single frames with torchcodec, in its exact mode (never ``approximate``).

    Args:
        path: The file.
        device: Where to decode; on ``'cuda'`` with NVDEC if that supports the codec. Frames are
            returned as numpy arrays in any case.
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
