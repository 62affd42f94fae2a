"""When the frames of a video are shown, from the time stamps that its frames carry."""
from fractions import Fraction

import numpy as np

from vicmae_mm.utils.errors import InputError

LONGEST_STEP = 10.  # seconds; ffmpeg's -dts_delta_threshold


def seconds_from_ticks(ticks: np.ndarray, time_base: Fraction, fps: float,
                       restarts: bool) -> np.ndarray:
    """Seconds from the first frame to each frame, (N,) float64, ascending.

    The (N,) ``ticks``, of ``time_base`` seconds, are in the order of the frames as shown, and NaN
    where missing. Frames without are ``1 / fps`` seconds long; if the rate is unknown, 0.0, that is
    a ValueError. Where the clock of the format ``restarts``, a step backwards, or of more than
    ``LONGEST_STEP``, is one frame long, as ffmpeg takes it.
    """
    known = ~np.isnan(ticks)
    if not known.any():
        return np.arange(len(ticks)) * _step(fps)
    numbers = np.arange(len(ticks))
    ticks = np.interp(numbers, numbers[known], ticks[known])
    if not restarts:
        ticks.sort()  # of frames that carry decoding times, the times are right, not their order
    # One rounding, as of the exact fraction.
    times = (ticks - ticks[0]) * time_base.numerator / time_base.denominator
    steps = np.diff(times)
    jumps = (steps < 0) | (steps > LONGEST_STEP)
    if restarts and jumps.any():
        times[1:] += np.where(jumps, _step(fps) - steps, 0).cumsum()
    return times


def frames_at(times: np.ndarray, every: float, rounding: float) -> np.ndarray:
    """The frames shown at multiples of ``every`` seconds, each once, by their times."""
    wanted = np.arange(0, times[-1] + rounding, every) + rounding
    return np.unique(np.searchsorted(times, wanted, 'right') - 1)


def _step(fps: float) -> float:
    if fps <= 0:
        raise InputError('says neither when its frames are shown nor how many there are a second')
    return 1 / fps
