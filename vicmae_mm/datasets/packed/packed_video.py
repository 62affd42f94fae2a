"""A video of which some frames are stored as JPEG."""
import zlib

import cv2
import numpy as np

from vicmae_mm.datasets.readers import MachineError, VideoError, VideoReader
from vicmae_mm.utils.errors import InputError

from .storage import RangeReader

_RGB = getattr(cv2, 'IMREAD_COLOR_RGB', 0)  # of newer versions of OpenCV


class PackedVideo(VideoReader):
    """Reads the stored frames of a video by their numbers in the original video.

    Path, for messages, and number of frames are those of the original video. The stored ``frames``
    of a shard are rows of :data:`~vicmae_mm.datasets.packed.shards.FRAME` with ascending numbers.
    """

    def __init__(self, path: str, total_frames: int, frames: np.ndarray, shards: RangeReader,
                 shard: str) -> None:
        super().__init__(path, total_frames, 0.0)
        self._frames = frames
        self._shards = shards
        self._shard = shard

    def _decode(self, wanted: list[int]) -> dict[int, np.ndarray]:
        # searchsorted gives a position for any number, so the numbers found are compared next.
        found = np.searchsorted(self._frames['number'], wanted)
        rows = self._frames[np.minimum(found, len(self._frames) - 1)].tolist()
        missing = [number for number, row in zip(wanted, rows, strict=True) if row[3] != number]
        if missing:
            raise InputError(
                f'{self.path}: frame {missing[0]} was requested, but only {len(self._frames)} of '
                f'its {self.num_frames} frames are packed. Choose frames with '
                "vicmae_mm.SampleFramePair, which only draws from results['stored_frames'].")
        try:
            jpegs = self._shards.read(self._shard, [(row[0], row[0] + row[1]) for row in rows],
                                      [row[2] for row in rows])
        except OSError as error:
            # Errors of remote storage have no number; most are due to the connection.
            kind = VideoError if isinstance(error, FileNotFoundError) else MachineError
            raise kind(self.path, f'shard {self._shard} cannot be read ({error})') from error
        return {number: self._decode_jpeg(jpeg, crc, number)
                for jpeg, (_, _, crc, number, *_) in zip(jpegs, rows, strict=True)}

    def _decode_jpeg(self, jpeg: bytes, crc: int, number: int) -> np.ndarray:
        # libjpeg decodes damaged data to a picture without an error, so the checksum of the ZIP
        # directory is compared first. That costs 1 % of decoding.
        image = None if zlib.crc32(jpeg) != crc else cv2.imdecode(
            np.frombuffer(jpeg, np.uint8), _RGB or cv2.IMREAD_COLOR)
        if image is None:
            raise VideoError(self.path, f'frame {number} is damaged in shard {self._shard}')
        return image if _RGB else cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)

    def close(self) -> None:
        """Nothing to release: the shards stay open for other videos."""
