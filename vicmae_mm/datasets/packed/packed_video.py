"""A video of which some frames are stored as JPEG."""
import zlib

import cv2
import numpy as np

from vicmae_mm.datasets.readers import VideoError, VideoReader
from vicmae_mm.utils.errors import InputError

from .storage import RangeReader


class PackedVideo(VideoReader):
    """Reads the stored frames of a video; frames keep the numbers they had in it.

    Args:
        path (str): The video's path as it was listed, for messages.
        total_frames (int): Frames that the video had.
        frames (np.ndarray): Those stored, of :data:`~vicmae_mm.datasets.packed.shards.FRAME`,
            by ascending number.
        shards (RangeReader): Reads the shards.
        shard (str): Name of the one that the frames lie in.
    """

    def __init__(self, path: str, total_frames: int, frames: np.ndarray, shards: RangeReader,
                 shard: str) -> None:
        super().__init__(path, total_frames, 0.0)
        self._frames = frames
        self._shards = shards
        self._shard = shard

    def _decode(self, wanted: list[int]) -> dict[int, np.ndarray]:
        rows = self._frames[np.searchsorted(self._frames['number'], wanted).clip(
            max=len(self._frames) - 1)].tolist()
        missing = [number for number, row in zip(wanted, rows, strict=True) if row[3] != number]
        if missing:
            raise InputError(
                f'{self.path}: frame {missing[0]} was asked for, but of its {self.num_frames} '
                f'frames only {len(self._frames)} are packed. Choose frames with '
                "vicmae_mm.SampleFramePair, which keeps to results['stored_frames'].")
        try:
            jpegs = self._shards.read(self._shard, [(row[0], row[0] + row[1]) for row in rows])
        except OSError as error:
            raise VideoError(self.path, f'shard {self._shard} can not be read ({error})') from error
        return {number: self._picture(jpeg, crc, number)
                for jpeg, (_, _, crc, number) in zip(jpegs, rows, strict=True)}

    def _picture(self, jpeg: bytes, crc: int, number: int) -> np.ndarray:
        # libjpeg makes a picture of almost anything; the check costs 1 % of decoding
        image = None if zlib.crc32(jpeg) != crc else cv2.imdecode(
            np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise VideoError(self.path, f'frame {number} is damaged in shard {self._shard}')
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)

    def close(self) -> None:
        """Nothing to release: the shards stay open for the other videos."""
