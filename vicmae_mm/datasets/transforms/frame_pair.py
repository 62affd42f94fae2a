"""Drawing pairs of frames from a video."""
from bisect import bisect_left

import numpy as np

from vicmae_mm.datasets.readers import VideoError, VideoReader
from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError

from .shown import ShownTransform

MODES = ('distant', 'continuous')
# Matroska's times are whole milliseconds: the difference of two may be one too small.
ROUNDING = 1.001e-3


@TRANSFORMS.register_module()
class SampleFramePair(ShownTransform):
    """Draw pairs of frame indices ``i <= j`` from a video of T frames.

    ``mode='distant'`` (section 5.3 of the paper, "D" in Table 4) cuts the video into n sections,
    section k being the frames ``floor(kT/n) .. floor((k+1)T/n) - 1``, and draws one frame
    uniformly from each of two sections. For n = 2 these are the halves; for n > 2 two different
    sections are drawn first. A video with fewer frames than sections is cut into T sections.

    ``mode='continuous'`` draws i uniformly from ``0 .. T-1-d`` and j uniformly from
    ``i+1 .. i+d``, where ``d = min(delta, T - 1)``. ``delta=0`` gives the same frame twice, drawn
    from the whole video. Otherwise the two frames differ, in both modes, if T >= 2; T = 1 gives
    (0, 0).

    Gaps may be in seconds instead: with a constant frame rate, this gives the same. Else i, or the
    first frame of the window, is uniform among those that have another frame within the gap, up to
    the first one from which the gap reaches the end of the video.

    If only some frames are stored (``stored_frames``), sections and gaps still count all T frames,
    but only stored frames are drawn: sections without any are left out, and in the continuous mode
    i is uniform among the stored frames that have another one at most d frames later.

    Required Keys: ``total_frames`` (int, >= 1), ``start_index`` (int, optional), ``stored_frames``
    (optional, ascending numbers in ``0 .. T-1``); for seconds ``stored_times`` or ``video_reader``.

    Added Keys: ``frame_inds`` (int64 array ``[i_0, j_0, i_1, j_1, ...]`` of shape
    (num_frames * num_pairs,), with ``start_index`` added), ``clip_len`` (num_frames),
    ``num_clips`` (num_pairs) and ``frame_interval`` (1), as set by mmaction2's ``SampleFrames``.

    Args:
        mode (str): 'distant' or 'continuous'.
        num_sections (int, optional): Sections of the distant mode, >= 2. Defaults to 2.
        delta (int, optional): Largest gap in the continuous mode, in frames, >= 0.
        max_gap (int, optional): Largest ``j - i`` in either mode, in frames, >= 1. A distant pair
            is then drawn from a window of ``max_gap + 1`` frames at a uniformly drawn position in
            the video. Defaults to None, no limit.
        delta_seconds, max_gap_seconds (float, optional): In place of ``delta`` and ``max_gap``.
        num_frames (int): 2, or 1 for a single uniformly drawn frame in either mode (the MAE
            baseline). Defaults to 2.
        num_pairs (int): Independent pairs per opened video, >= 1. Defaults to 1.

    Raises:
        ValueError: An argument is out of range or belongs to the other mode; or, when
            transforming, no two of the stored frames form such a pair, or their times are unknown.
        VideoError: No two frames of the video are within the gap (when transforming).
    """

    # Frames from the first of a clip to its last; SampleClipPair draws longer clips.
    span = 1

    def __init__(self, mode: str = 'distant', num_sections: int | None = None,
                 delta: int | None = None, max_gap: int | None = None, num_frames: int = 2,
                 num_pairs: int = 1, delta_seconds: float | None = None,
                 max_gap_seconds: float | None = None) -> None:
        name = type(self).__name__
        if mode not in MODES:
            raise InputError(f'{name}: mode={mode!r} should be one of {MODES}.')
        if mode == 'distant' and not delta is delta_seconds is None:
            raise InputError(
                f"{name}: delta{f'={delta}' if delta_seconds is None else '_seconds'} has no "
                "meaning for mode='distant'. Leave it out, limit the gap with max_gap or "
                "max_gap_seconds, or set mode='continuous'.")
        if mode == 'continuous' and num_sections is not None:
            raise InputError(
                f"{name}: num_sections={num_sections!r} has no meaning for "
                "mode='continuous'. Leave it out, or set mode='distant'.")
        if mode == 'continuous' and delta is delta_seconds is None:
            raise InputError(f"{name}: mode='continuous' needs delta, the largest gap "
                             'in frames (0 = the same frame; the paper tries 0, 2, 4 and 8), or '
                             'delta_seconds.')
        if num_frames not in (1, 2):
            raise InputError(f'{name}: num_frames={num_frames!r} should be 2 (a pair) '
                             'or 1 (the MAE baseline). For more frames, raise num_pairs.')
        self.mode = mode
        self.num_sections = at_least(
            name, 2, num_sections=2 if num_sections is None else num_sections)
        self.delta = None if delta is None else at_least(name, 0, delta=delta)
        self.max_gap = None if max_gap is None else at_least(name, 1, max_gap=max_gap)
        self.delta_seconds, self.max_gap_seconds = delta_seconds, max_gap_seconds
        self._limits = [gap for gap in (delta, max_gap) if gap is not None]
        seconds = [gap for gap in (delta_seconds, max_gap_seconds) if gap is not None]
        if max_gap_seconds == 0 or any(isinstance(gap, bool) or not isinstance(gap, (int, float))
                                       or not 0 <= gap < float('inf') for gap in seconds):
            raise InputError(f'{name}: max_gap_seconds should be a number above 0, delta_seconds '
                             f'one of 0 or more, not {", ".join(map(repr, seconds))}.')
        if seconds and self._limits:
            raise InputError(f'{name}: set gaps in frames (delta, max_gap) or in seconds '
                             '(delta_seconds, max_gap_seconds), not in both.')
        self.gap_seconds = min(seconds, default=None)
        self.num_frames = num_frames
        self.num_pairs = at_least(name, 1, num_pairs=num_pairs)
        if num_frames == 1 and num_pairs > 1:
            raise InputError(f'{name}: num_pairs={num_pairs} needs num_frames=2, got 1.')

    def transform(self, results: dict) -> dict:
        total = int(results['total_frames'])
        if total < 1:
            raise InputError(f'{type(self).__name__}: total_frames={total} should be at least 1.')
        stored = results.get('stored_frames')
        # With every frame stored, the same draws as from the video itself.
        if stored is not None and len(stored) == total:
            stored = None
        if self.num_frames == 1:
            picks = [np.random.randint(total) if stored is None else _draw_from(stored)]
        else:
            windows = self._windows(results, total)
            picks = [index for _ in range(self.num_pairs)
                     for index in self._pair(total, stored, *windows)]
        start = results.get('start_index', 0)
        results.update(frame_inds=np.array(picks, dtype=np.int64) + start, frame_interval=1,
                       clip_len=self.num_frames, num_clips=self.num_pairs)
        return results

    def _windows(self, results: dict, total: int) -> tuple[np.ndarray, np.ndarray]:
        """Where windows begin that hold a pair, and where one that begins with each frame ends."""
        frames = np.arange(total)
        if self.gap_seconds is None or total == 1:
            gap = min([total - 1, *self._limits])
            return frames[:total - gap], np.minimum(frames + gap, total - 1)
        if self.gap_seconds == 0:
            return frames, frames
        times = self._times(results, frames)
        last = np.searchsorted(times, times + (self.gap_seconds + ROUNDING), side='right') - 1
        # Up to the first window that ends with the video: it cuts all later ones short.
        starts = np.flatnonzero((last > frames) & (frames <= np.searchsorted(last, total - 1)))
        if not len(starts) and 'stored_frames' not in results:
            raise VideoError(str(results.get('filename')), 'no two of its frames are within '
                             f'{self.gap_seconds:g} s of each other')
        return starts, last

    def _times(self, results: dict, frames: np.ndarray) -> np.ndarray:
        stored, reader = results.get('stored_frames'), results.get('video_reader')
        if stored is None and isinstance(reader, VideoReader):
            return reader.frame_times[frames + results.get('start_index', 0)]
        if stored is None or 'stored_times' not in results:
            raise InputError(f'{self}: gaps in seconds need the times of frames, which VideoInit '
                             'and frames packed by this version of vicmae pack have. '
                             'Use one of these, or gaps in frames (delta, max_gap).')
        # Of frames that are not stored, only for the positions of windows: none is drawn.
        times = results['stored_times']
        step = (times[-1] - times[0]) / max(stored[-1] - stored[0], 1)
        beyond = np.minimum(frames - stored[0], 0) + np.maximum(frames - stored[-1], 0)
        return np.interp(frames, stored, times) + step * beyond

    def _pair(self, total: int, stored: np.ndarray | None, starts: np.ndarray, last: np.ndarray
              ) -> tuple[int, int]:
        if stored is not None:
            pair = (self._continuous_stored(stored, last) if self.mode == 'continuous' else
                    self._distant_stored(stored, starts, last))
            if pair is None:
                raise InputError(
                    f'{self}: no two of the {len(stored)} frames stored for a video of {total} '
                    'frames form such a pair. Pack more: run vicmae pack with a '
                    'larger --frames or, for a small delta, with --every (at most delta).')
            return pair
        start = _draw_from(starts)
        window = last[start] - start + 1
        if self.mode == 'continuous':
            return start, start if window == 1 else np.random.randint(start + 1, start + window)
        i, j = self._distant_pair(window)
        return start + i, start + j

    def _distant_pair(self, total: int) -> tuple[int, int]:
        sections = min(self.num_sections, total // self.span)
        if sections == 1:
            return 0, 0
        first, second = 0, 1
        if sections > 2:
            first, second = np.sort(np.random.choice(sections, 2, replace=False)).tolist()
        i, j = (np.random.randint(k * total // sections,
                                  (k + 1) * total // sections - self.span + 1)
                for k in (first, second))
        return i, j

    def _distant_stored(self, stored: np.ndarray, starts: np.ndarray, last: np.ndarray
                        ) -> tuple[int, int] | None:
        sections = min(self.num_sections, max((last[starts] - starts).tolist(), default=0) + 1)
        if len(starts) > 1:
            # Every position of the window at once, because only those that contain stored frames in
            # two sections may be drawn, each with the same probability.
            window = last[starts, None] - starts[:, None] + 1
            edges = starts[:, None] + np.arange(sections + 1) * window // sections
            starts = starts[(np.diff(np.searchsorted(stored, edges)) > 0).sum(1) >= 2]
        if not len(starts):
            return None
        start = int(_draw_from(starts))
        window = int(last[start]) - start + 1
        before = [bisect_left(stored, start + k * window // sections) for k in range(sections + 1)]
        filled = [k for k in range(sections) if before[k] < before[k + 1]]
        if len(filled) < 2:
            return None
        if sections > 2:
            filled = np.sort(np.random.choice(filled, 2, False)).tolist()
        i, j = (stored[np.random.randint(before[k], before[k + 1])] for k in filled)
        return i, j

    def _continuous_stored(self, stored: np.ndarray, last: np.ndarray) -> tuple[int, int] | None:
        if 0 in (self.delta, self.delta_seconds):
            i = _draw_from(stored)
            return i, i
        ends = np.searchsorted(stored, last[stored], side='right')
        firsts = np.flatnonzero(ends > np.arange(1, len(stored) + 1))
        if not len(firsts):
            return None
        first = _draw_from(firsts)
        return stored[first], stored[np.random.randint(first + 1, ends[first])]


def _draw_from(values: np.ndarray) -> int:
    # np.random.choice takes five times as long.
    return values[np.random.randint(len(values))]


def at_least(owner: str, minimum: int, **argument: int) -> int:
    """The value of the single keyword, which must be an integer >= ``minimum``."""
    (name, value), = argument.items()
    if type(value) is not int or value < minimum:
        raise InputError(f'{owner}: {name}={value!r} should be an integer of at least {minimum}.')
    return value
