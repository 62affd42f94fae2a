"""Turning one video into JPEG frames."""
import time
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from vicmae_mm.datasets.readers import VideoError, VideoReader, open_video
from vicmae_mm.datasets.readers.base import is_machines
from vicmae_mm.datasets.readers.messages import warn_once
from vicmae_mm.datasets.readers.presentation_times import frames_at

from .converting import JobResult

NO_TIMES = np.zeros(0)
ROUNDING = 1e-6  # seconds; of multiples of an interval
MAX_HELD = 32  # decoded frames in memory at a time


@dataclass(frozen=True)
class PackSettings:
    """How to pack a video; frames are never enlarged."""

    frames: int = 16  # evenly spread; all frames of a shorter video
    # If not 0, store every N-th frame instead, from the first; of N or fewer, the first and last
    every: int = 0
    short_side: int = 256  # px, maximum length of the shorter side
    quality: int = 90  # of JPEG, 1 to 100
    # If not 0, store the frame shown at each multiple of so many seconds instead
    every_seconds: float = 0.

    def choose(self, total: int, times: np.ndarray = NO_TIMES) -> list[int]:
        """Choose the frames to store of a video with ``total`` frames, in ascending order.

        ``times`` are its ``frame_times``, for ``every_seconds``.
        """
        if self.every_seconds:
            frames = frames_at(times, self.every_seconds, ROUNDING).tolist()
            return frames if len(frames) > 1 else [*{0, total - 1}]
        if self.every:
            return list(range(0, total, self.every)) if total > self.every else [*{0, total - 1}]
        # The middles of equal parts: however a video is later cut into up to frames / 2 sections
        # (SampleFramePair), each section contains stored frames.
        count = min(self.frames, total)
        return [(2 * k + 1) * total // (2 * count) for k in range(count)]


@dataclass(frozen=True)
class PackJob:
    """One video to pack: its position in the list, its file and how to pack it."""
    number: int
    source: str
    settings: PackSettings


@dataclass(frozen=True)
class Packed(JobResult):
    """A packed video."""

    total_frames: int = 0
    frames: tuple[int, ...] = ()  # numbers of the stored frames, ascending
    jpegs: tuple[bytes, ...] = ()  # the file of each stored frame
    times: tuple[float, ...] = ()  # of each stored frame, in seconds since the first of the video
    duration: float = 0.  # of the video, in seconds


def pack_video(job: PackJob) -> JobResult:
    """Decode the frames to store, scale them down and encode them.

    Returned is :class:`Packed`, or a result with a ``problem`` if the video cannot be read.
    """
    begin = time.monotonic()
    # There is one process per core already.
    cv2.setNumThreads(1)
    try:
        with open_video(job.source) as video:
            total, times = video.num_frames, video.frame_times
            jpegs = {frame: _encode(image, job.settings) for frame, image in _read(
                video, job.settings.choose(total, times), bool(job.settings.every_seconds))}
            if not jpegs:
                raise VideoError(job.source, 'none of the frames to store decodes')
            # The last frame is shown as long as the one before it.
            duration = float(times[-1] + (times[-1] - times[-2] if total > 1 else
                                          1 / video.fps if video.fps else 0))
    except VideoError as error:
        return JobResult(error.reason, again=is_machines(error))
    return Packed(size=sum(map(len, jpegs.values())), seconds=time.monotonic() - begin,
                  total_frames=total, frames=tuple(jpegs), jpegs=tuple(jpegs.values()),
                  times=tuple(times[[*jpegs]].tolist()), duration=duration)


def _read(video: VideoReader, frames: list[int],
          without_damaged: bool) -> Iterator[tuple[int, np.ndarray]]:
    """The frames with their numbers; if asked, without those that do not decode."""
    for at in range(0, len(frames), MAX_HELD):
        part = frames[at:at + MAX_HELD]
        try:
            yield from zip(part, video.get_frames(part), strict=True)
        except VideoError as error:
            if not without_damaged or is_machines(error):
                raise
            warn_once('damaged frames are left out', video.path)
            for frame in part if len(part) > 1 else ():
                yield from _read(video, [frame], without_damaged)


def _encode(image: np.ndarray, settings: PackSettings) -> bytes:
    height, width = image.shape[:2]
    scale = settings.short_side / min(height, width)
    if scale < 1:
        image = cv2.resize(image, (round(width * scale), round(height * scale)),
                           interpolation=cv2.INTER_AREA)
    return cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
                        [cv2.IMWRITE_JPEG_QUALITY, settings.quality])[1].tobytes()
