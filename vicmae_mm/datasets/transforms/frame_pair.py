"""Drawing pairs of frames from a video."""
import numpy as np

from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError

from .shown import ShownTransform
from .time_windows import Windows, times_of_frames, windows_within

MODES = ('distant', 'continuous')


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

    Gaps may be given in seconds instead, for videos of different or variable frame rates. A distant
    pair is then drawn from the frames i .. e(i), a continuous one is i and one of i+1 .. e(i),
    where e(i) is the last frame shown at most that long after frame i, and i is uniform among the
    frames with e(i) > i after which the video goes on that long (the first one if it is shorter).
    With a constant frame rate this is the same as in frames. Times may be a millisecond off, to
    which some containers round.

    If only some frames are stored (``stored_frames``), sections and gaps still count all T frames,
    but only stored frames are drawn: sections without any are left out, and in the continuous mode
    i is uniform among the stored frames that have another one at most d frames later.

    Required Keys: ``total_frames`` (int, >= 1), ``start_index`` (int, optional), ``stored_frames``
    (optional, ascending numbers in ``0 .. T-1``). For gaps in seconds also ``video_reader``, with
    the time of each frame, or ``stored_times`` (those of the stored frames).

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
        delta_seconds, max_gap_seconds (float, optional): In place of ``delta`` (>= 0) and
            ``max_gap`` (> 0), in seconds.
        num_frames (int): 2, or 1 for a single uniformly drawn frame in either mode (the MAE
            baseline). Defaults to 2.
        num_pairs (int): Independent pairs per opened video, >= 1. Defaults to 1.

    Raises:
        ValueError: An argument is out of range or belongs to the other mode; or, when
            transforming, no two of the stored frames form such a pair, or times are missing.
        VideoError: No two frames of the video are that close (when transforming).
    """

    # Frames from the first of a clip to its last; SampleClipPair draws longer clips.
    span = 1

    def __init__(self, mode: str = 'distant', num_sections: int | None = None,
                 delta: int | None = None, max_gap: int | None = None, num_frames: int = 2,
                 num_pairs: int = 1, *, delta_seconds: float | None = None,
                 max_gap_seconds: float | None = None) -> None:
        name = type(self).__name__
        if mode not in MODES:
            raise InputError(f'{name}: mode={mode!r} should be one of {MODES}.')
        if mode == 'distant' and (delta, delta_seconds) != (None, None):
            raise InputError(
                f"{name}: delta={delta_seconds if delta is None else delta!r} has no meaning for "
                "mode='distant'. Leave it out, limit the gap with max_gap, or set "
                "mode='continuous'.")
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
        in_seconds = [_seconds(name, smallest, setting, value) for setting, value, smallest in (
            ('delta_seconds', delta_seconds, 0.), ('max_gap_seconds', max_gap_seconds, .001))
            if value is not None]
        self.gap_seconds = min(in_seconds, default=None)
        if in_seconds and (delta, max_gap) != (None, None):
            raise InputError(f'{name}: gaps are either in frames (delta, max_gap) or in seconds '
                             '(delta_seconds, max_gap_seconds), not in both.')
        self.num_frames = num_frames
        self.num_pairs = at_least(name, 1, num_pairs=num_pairs)
        if num_frames == 1 and num_pairs > 1:
            raise InputError(f'{name}: num_pairs={num_pairs} needs num_frames=2, got 1.')

    def transform(self, results: dict) -> dict:
        """Draw ``frame_inds``."""
        total = int(results['total_frames'])
        if total < 1:
            raise InputError(f'{type(self).__name__}: total_frames={total} should be at least 1.')
        stored = results.get('stored_frames')
        windows = None
        if self.gap_seconds is not None and self.num_frames == 2:
            windows = windows_within(times_of_frames(results, total), self.gap_seconds)
            if stored is None and not len(windows[0]):
                raise VideoError(str(results.get('filename')), 'no two of its frames are within '
                                 f'{self.gap_seconds:g} s of each other')
        # With every frame stored, the same draws as from the video itself.
        if stored is not None and len(stored) == total:
            stored = None
        if self.num_frames == 1:
            picks = [np.random.randint(total) if stored is None else _draw_from(stored)]
        else:
            picks = [index for _ in range(self.num_pairs)
                     for index in self._pair(total, stored, windows)]
        start = results.get('start_index', 0)
        results['frame_inds'] = np.array(picks, dtype=np.int64) + start
        results['clip_len'] = self.num_frames
        results['num_clips'] = self.num_pairs
        results['frame_interval'] = 1
        return results

    def _pair(self, total: int, stored: np.ndarray | None, windows: Windows) -> tuple[int, int]:
        if stored is not None:
            pair = (self._continuous_stored(total, stored, windows) if self.mode == 'continuous'
                    else self._distant_stored(total, stored, windows))
            if pair is None:
                raise InputError(
                    f'{self}: no two of the {len(stored)} frames stored for a video of {total} '
                    'frames form such a pair. Pack more: run tools/data/pack_frames.py with a '
                    'larger --frames or, for a small delta, with --every (at most delta).')
            return pair
        if self.mode == 'continuous' and windows is None:
            return self._continuous_pair(total)
        if windows is None:
            window = self._window(total)
            start = np.random.randint(total - window + 1)
        else:
            start = _draw_from(windows[0])
            window = windows[1][start] - start + 1
        if self.mode == 'continuous':
            return start, start if window == 1 else np.random.randint(start + 1, start + window)
        i, j = self._distant_pair(window)
        return start + i, start + j

    def _window(self, total: int) -> int:
        return total if self.max_gap is None else min(total, self.max_gap + 1)

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

    def _continuous_pair(self, total: int) -> tuple[int, int]:
        gap = self._largest_gap(total)
        i = np.random.randint(total - gap)
        j = i if gap == 0 else np.random.randint(i + 1, i + gap + 1)
        return i, j

    def _largest_gap(self, total: int) -> int:
        assert self.delta is not None  # checked in __init__
        gap = min(self.delta, total - 1)
        return gap if self.max_gap is None else min(gap, self.max_gap)

    def _distant_stored(self, total: int, stored: np.ndarray, windows: Windows
                        ) -> tuple[int, int] | None:
        # Every position of the window at once, because only those that contain stored frames in
        # two sections may be drawn, each with the same probability.
        if windows is None:
            starts = np.arange(total - self._window(total) + 1)[:, None]
            window = np.array(self._window(total))
        else:
            starts = windows[0][:, None]
            window = windows[1][starts] - starts + 1
        sections = min(self.num_sections, int(window.max(initial=1)))
        edges = starts + np.arange(sections + 1) * window // sections
        before = np.searchsorted(stored, edges)  # number of stored frames before each edge
        filled = before[:, 1:] > before[:, :-1]
        positions = np.flatnonzero(filled.sum(1) >= 2)
        if not len(positions):
            return None
        position = _draw_from(positions)
        first, second = 0, 1
        if sections > 2:
            first, second = np.sort(np.random.choice(np.flatnonzero(filled[position]), 2, False))
        i, j = (stored[np.random.randint(before[position, k], before[position, k + 1])]
                for k in (first, second))
        return i, j

    def _continuous_stored(self, total: int, stored: np.ndarray, windows: Windows
                           ) -> tuple[int, int] | None:
        gap = self._largest_gap(total) if windows is None else self.gap_seconds
        if gap == 0:
            i = _draw_from(stored)
            return i, i
        latest = stored + gap if windows is None else windows[1][stored]
        ends = np.searchsorted(stored, latest, side='right')
        firsts = np.flatnonzero(ends > np.arange(1, len(stored) + 1))
        if not len(firsts):
            return None
        first = _draw_from(firsts)
        return stored[first], stored[np.random.randint(first + 1, ends[first])]


def _draw_from(values: np.ndarray) -> int:
    # np.random.choice takes five times as long.
    return values[np.random.randint(len(values))]


def _seconds(owner: str, smallest: float, name: str, value: float) -> float:
    """A gap in seconds, which must be a number from ``smallest`` on."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (
            smallest <= value < float('inf')):
        raise InputError(f'{owner}: {name}={value!r} should be a number of seconds, at least '
                         f'{smallest:g}.')
    return value


def at_least(owner: str, minimum: int, **argument: int) -> int:
    """The value of the single keyword, which must be an integer >= ``minimum``."""
    (name, value), = argument.items()
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise InputError(f'{owner}: {name}={value!r} should be an integer of at least '
                         f'{minimum}.')
    return value
