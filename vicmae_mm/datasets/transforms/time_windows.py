"""Which frames of a video are shown within some seconds of each other."""
from typing import Any

import numpy as np

from vicmae_mm.datasets.readers import VideoReader
from vicmae_mm.utils.errors import InputError

# Of matroska's times, which are whole milliseconds: the difference of two may be one too small.
ROUNDING = 1.001e-3

# First frames of the windows, and for each frame of the video the last one in a window from there.
Windows = tuple[np.ndarray, np.ndarray] | None


def windows_within(times: np.ndarray, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Windows that last at most some seconds and hold two frames or more.

    Args:
        times: (T,) seconds, ascending.
        seconds: >= 0; with 0, a window is a single frame.

    Returns:
        tuple: Numbers of the frames with which a window may begin, so that the end of the video
        does not cut it short, or 0 if it always does; and (T,), the last frame at most ``seconds``
        after each frame.
    """
    frames = np.arange(len(times))
    if seconds == 0 or len(times) == 1:
        return frames, frames
    last = np.searchsorted(times, times + (seconds + ROUNDING), side='right') - 1
    end = 2 * times[-1] - times[-2]  # of the last frame, shown as long as the one before
    complete = times + seconds < end - ROUNDING
    complete[0] |= not complete.any()
    return np.flatnonzero(complete & (last > frames)), last


def times_of_frames(results: dict[str, Any], total: int) -> np.ndarray:
    """Times of the ``total`` frames of a record, in seconds.

    Between stored frames, and beyond them, they are interpolated: only stored ones are drawn.

    Raises:
        ValueError: Neither the reader nor the stored frames have times.
    """
    stored = results.get('stored_frames')
    if stored is not None:
        known = results.get('stored_times')
        if known is None:
            raise InputError(f'{results.get("filename")}: the times of its packed frames are not '
                             'stored: pack it again with tools/data/pack_frames.py, or set gaps in '
                             'frames instead of seconds.')
        frames = np.arange(total)
        step = (known[-1] - known[0]) / max(stored[-1] - stored[0], 1)
        beyond = np.minimum(frames - stored[0], 0) + np.maximum(frames - stored[-1], 0)
        return np.interp(frames, stored, known) + step * beyond
    reader, start = results.get('video_reader'), results.get('start_index', 0)
    if not isinstance(reader, VideoReader):
        raise InputError('gaps in seconds need the times of frames, which only vicmae_mm.VideoInit '
                         'and packed frames tell: put it before SampleFramePair, or set gaps in '
                         'frames (delta, max_gap).')
    return reader.frame_times[start:start + total]
