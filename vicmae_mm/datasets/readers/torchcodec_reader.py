"""Reading with torchcodec, of the files that torchcodec seeks in rightly."""
from types import ModuleType

import numpy as np

from .base import VideoError, VideoReader


class TorchCodecReader(VideoReader):
    """Reads single frames with torchcodec, in its exact mode (never ``approximate``).

    Only for files in which :func:`~vicmae_mm.datasets.readers.seekability.seek_problem` finds
    nothing; :func:`~vicmae_mm.datasets.readers.open_video` sees to that.

    Args:
        path: A local file.
        device: Where it is decoded; on ``'cuda'`` by NVDEC, where that knows the coding. Frames
            come back as arrays all the same.

    Raises:
        ImportError: torchcodec is not installed, or does not find FFmpeg's libraries.
        VideoError: torchcodec can't open the file.
    """

    def __init__(self, path: str, device: str = 'cpu') -> None:
        decoders = self.library()
        try:
            self._video = decoders.VideoDecoder(
                path, seek_mode='exact', dimension_order='NHWC', num_ffmpeg_threads=1,
                device=device)
        except (RuntimeError, ValueError) as error:
            raise VideoError(path, f'torchcodec cannot open it ({error})') from error
        super().__init__(path, len(self._video), float(self._video.metadata.average_fps or 0))

    @staticmethod
    def library() -> ModuleType:
        """The module ``torchcodec.decoders``, or an ImportError that says what to install."""
        try:
            import torchcodec
            from torchcodec import decoders
            if getattr(torchcodec, 'ffmpeg_major_version', '') is None:  # found out too late else
                raise ImportError('it finds no FFmpeg that it knows')
        except (ImportError, RuntimeError, OSError) as error:  # by what is missing
            raise ImportError(
                "the video backend 'torchcodec' needs torchcodec, in the version made for this "
                "torch, and FFmpeg's shared libraries: pip install torchcodec, and FFmpeg from "
                f'the system or conda ({str(error).strip().splitlines()[0]})') from error
        return decoders

    def _decode(self, wanted: list[int]) -> dict[int, np.ndarray]:
        try:
            frames = self._video.get_frames_at(wanted).data.cpu().numpy()
        except (RuntimeError, IndexError) as error:
            raise VideoError(self.path, f'torchcodec cannot decode it ({error})') from error
        return dict(zip(wanted, frames, strict=True))

    def close(self) -> None:
        self._video = None
