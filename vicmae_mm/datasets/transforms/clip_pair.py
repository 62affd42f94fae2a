"""Drawing pairs of clips from a video."""
import numpy as np

from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError

from .frame_pair import SampleFramePair, at_least


@TRANSFORMS.register_module()
class SampleClipPair(SampleFramePair):
    """Draw pairs of clips from a video of T frames, as ``SampleFramePair`` draws frames.

    A clip has the frames ``a, a + s, ..., a + (clip_len - 1) s`` with ``s = frame_interval``, and
    spans ``S = (clip_len - 1) s + 1`` frames. If ``T < S``, a is 0 and frame numbers continue from
    0 after T - 1, as in mmaction2's ``SampleFrames``.

    ``mode='distant'`` draws a clip uniformly from each of two sections. Clips do not leave their
    section, and a video has at most ``T // S``, so the two never overlap. If the video is too short
    for two (``T < 2 S``), it gives its first and its last clip, which is the least overlap.

    ``mode='continuous'`` draws a uniformly from ``0 .. T-S-d`` and the first frame of the other
    clip from ``a+1 .. a+d``, where ``d = min(delta, T - S)``. ``delta=0`` gives a clip twice.

    Required Keys: ``total_frames`` (int, >= 1), ``start_index`` (int, optional).

    Added Keys: ``frame_inds`` (int64 array of shape (2 * num_pairs * clip_len,), clip by clip, the
    two clips of a pair in temporal order, with ``start_index`` added), ``clip_len``, ``num_clips``
    (2 * num_pairs) and ``frame_interval``, as set by mmaction2's ``SampleFrames``.

    Args:
        clip_len (int): Frames per clip, >= 1.
        frame_interval (int): Distance s between neighbouring frames of a clip, >= 1.
        mode, num_sections, delta, num_pairs: As in ``SampleFramePair``.
        max_gap (int, optional): Largest distance between the first frames of two clips, >= S in
            the distant mode. Defaults to None, no limit.
        delta_seconds, max_gap_seconds (float, optional): In place of ``delta`` and ``max_gap``.

    Raises:
        ValueError: An argument is out of range or belongs to the other mode; or, when
            transforming, only some frames of the video are stored.
    """

    def __init__(self, clip_len: int, frame_interval: int = 1, mode: str = 'distant',
                 num_sections: int | None = None, delta: int | None = None,
                 max_gap: int | None = None, num_pairs: int = 1,
                 delta_seconds: float | None = None, max_gap_seconds: float | None = None) -> None:
        super().__init__(mode, num_sections, delta, max_gap, 2, num_pairs, delta_seconds,
                         max_gap_seconds)
        self.clip_len = at_least('SampleClipPair', 1, clip_len=clip_len)
        self.frame_interval = at_least('SampleClipPair', 1, frame_interval=frame_interval)
        self.span = (clip_len - 1) * frame_interval + 1
        if mode == 'distant' and max_gap is not None and max_gap < self.span:
            raise InputError(
                f'SampleClipPair: max_gap={max_gap} makes all clips overlap, because each spans '
                f'{self.span} frames: set it to {self.span} or more, or use mode=\'continuous\'.')

    def transform(self, results: dict) -> dict:
        stored, total = results.get('stored_frames'), int(results['total_frames'])
        if stored is not None and len(stored) < total:
            raise InputError(
                f'SampleClipPair: clips need every frame, but only {len(stored)} of {total} are '
                'packed. Read clips from the videos (vicmae_mm.VideoPairDataset), or pack all '
                'frames with vicmae pack --every 1.')
        results = super().transform(results)
        start = results.get('start_index', 0)
        clip = np.arange(self.clip_len) * self.frame_interval
        frames = (results['frame_inds'] - start)[:, None] + clip
        results['frame_inds'] = (frames % total).reshape(-1) + start
        results.update(clip_len=self.clip_len, num_clips=2 * self.num_pairs,
                       frame_interval=self.frame_interval)
        return results

    def _windows(self, results: dict, total: int) -> tuple[np.ndarray, np.ndarray]:
        starts, last = super()._windows(results, max(total - self.span + 1, 1))
        if self.mode == 'continuous':
            return starts, last  # both of first frames
        return starts, np.minimum(last + self.span - 1, total - 1)

    def _distant_pair(self, total: int) -> tuple[int, int]:
        if total < 2 * self.span:
            return 0, max(total - self.span, 0)
        return super()._distant_pair(total)
