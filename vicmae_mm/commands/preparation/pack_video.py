"""Turning one video into JPEG frames."""
import time
from dataclasses import dataclass

import cv2
import numpy as np

from vicmae_mm.commands.preparation.converting import Done
from vicmae_mm.datasets.readers import VideoError, open_video

MAX_HELD = 32  # decoded frames in memory at a time


@dataclass(frozen=True)
class Settings:
    """How to pack.

    Attributes:
        frames: Frames to store of a video, evenly spread; a shorter one is stored whole.
        every: Instead, store every so-manieth frame, from the first on, and the last one if that
            leaves but one; 0: ``frames`` counts.
        short_side: Longest that the shorter side may be, in pixels; frames are never enlarged.
        quality: Of JPEG, 1 to 100.
    """
    frames: int = 16
    every: int = 0
    short_side: int = 256
    quality: int = 90

    def choose(self, total: int) -> list[int]:
        """Which frames to store of a video of ``total``, ascending.

        ``frames`` are the middles of as many equal parts: each section of a video that is cut into
        at most half as many has its share.
        """
        if self.every:
            return list(range(0, total, self.every)) if total > self.every else [*{0, total - 1}]
        count = min(self.frames, total)
        return [(2 * k + 1) * total // (2 * count) for k in range(count)]


@dataclass(frozen=True)
class Job:
    """One video to pack.

    Attributes:
        number: Its place in the list.
        source: Its file.
        settings: How.
    """
    number: int
    source: str
    settings: Settings


@dataclass(frozen=True)
class Packed(Done):
    """What came of a job.

    Attributes:
        total_frames: Frames of the video.
        frames: Numbers of those stored, ascending.
        jpegs: The JPEG file of each.
    """
    total_frames: int = 0
    frames: tuple[int, ...] = ()
    jpegs: tuple[bytes, ...] = ()


def pack_video(job: Job) -> Done:
    """Decode the frames to store, scale them down and encode them.

    Returns:
        Done: :class:`Packed`, or with a ``problem`` if the video can't be read.

    Raises:
        ImportError: The decoder is not installed.
    """
    begin = time.monotonic()
    cv2.setNumThreads(1)  # there is a process for each core
    try:
        with open_video(job.source) as video:
            total = video.num_frames
            frames = job.settings.choose(total)
            jpegs = tuple(_encode(image, job.settings)
                          for start in range(0, len(frames), MAX_HELD)
                          for image in video.get_frames(frames[start:start + MAX_HELD]))
    except VideoError as error:
        return Done(error.reason)
    return Packed('', sum(map(len, jpegs)), time.monotonic() - begin, total, tuple(frames), jpegs)


def _encode(image: np.ndarray, settings: Settings) -> bytes:
    height, width = image.shape[:2]
    scale = settings.short_side / min(height, width)
    if scale < 1:
        image = cv2.resize(image, (round(width * scale), round(height * scale)),
                           interpolation=cv2.INTER_AREA)
    return cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
                        [cv2.IMWRITE_JPEG_QUALITY, settings.quality])[1].tobytes()
