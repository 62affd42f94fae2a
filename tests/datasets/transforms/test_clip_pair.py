"""SampleClipPair against brute force, and what it has in common with SampleFramePair."""
from collections import Counter
from itertools import product

import numpy as np
import pytest
from mmaction.datasets.transforms import FormatShape

from vicmae_mm.datasets.transforms import SampleClipPair, SampleFramePair

from .test_frame_pair import assert_follows, sections

DRAWS = 700
CLIPS = [(2, 1), (3, 2), (4, 3)]  # (clip_len, frame_interval)
MODES = [{}, dict(num_sections=4), dict(max_gap=13, num_sections=3),
         dict(mode='continuous', delta=0), dict(mode='continuous', delta=5),
         dict(mode='continuous', delta=9, max_gap=2)]


def draw(total: int, clip_len: int, interval: int, draws: int = DRAWS, **kwargs) -> Counter:
    """How often the clips begin with frames (a, b); checks the frames of every clip."""
    np.random.seed(0)
    transform = SampleClipPair(clip_len, interval, **kwargs)
    counts = Counter()
    for _ in range(draws):
        results = transform(dict(total_frames=total))
        clips = results['frame_inds'].reshape(2, clip_len)
        counts[tuple(clips[:, 0].tolist())] += 1
        for first, clip in zip(clips[:, 0], clips, strict=True):
            assert clip.tolist() == [(first + k * interval) % total for k in range(clip_len)]
    return counts


def distant(total: int, span: int, n: int = 2) -> dict[tuple[int, int], float]:
    """Probability of each pair of first frames under distant sampling, by enumeration."""
    parts = sections(total, min(n, total // span))
    starts = [[a for a in part if a + span - 1 in part] for part in parts]
    pairs = [(first, second) for i, first in enumerate(starts) for second in starts[i + 1:]]
    probability = Counter()
    for first, second in pairs:
        for pair in product(first, second):
            probability[pair] += 1 / (len(pairs) * len(first) * len(second))
    return probability


@pytest.mark.parametrize('kwargs', MODES)
@pytest.mark.parametrize('total', [1, 2, 3, 17, 300])
def test_clips_of_one_frame_are_drawn_as_frames_are(total, kwargs):
    frames, clips = SampleFramePair(num_pairs=3, **kwargs), SampleClipPair(1, num_pairs=3, **kwargs)
    for seed in range(20):
        np.random.seed(seed)
        expected = frames(dict(total_frames=total, start_index=1))['frame_inds']
        np.random.seed(seed)
        assert (clips(dict(total_frames=total, start_index=1))['frame_inds'] == expected).all()


@pytest.mark.parametrize('clip_len, interval', CLIPS)
@pytest.mark.parametrize('n', [2, 5])
def test_distant_clips_are_uniform_within_their_sections(clip_len, interval, n):
    span = (clip_len - 1) * interval + 1
    for total in (2 * span, 3 * span + 2):
        assert_follows(draw(total, clip_len, interval, num_sections=n), distant(total, span, n))


@pytest.mark.parametrize('clip_len, interval', CLIPS)
@pytest.mark.parametrize('kwargs', MODES[:3])
def test_distant_clips_never_overlap_unless_the_video_is_too_short(clip_len, interval, kwargs):
    span = (clip_len - 1) * interval + 1
    for total in range(1, 4 * span):
        pairs = draw(total, clip_len, interval, draws=5, **kwargs)
        assert all(0 <= a <= b <= max(total - span, 0) for a, b in pairs)
        if total >= 2 * span:
            assert all(b - a >= span for a, b in pairs)
            assert all(b - a <= kwargs.get('max_gap', total) for a, b in pairs)
        else:  # the least overlap
            assert set(pairs) == {(0, max(total - span, 0))}


@pytest.mark.parametrize('clip_len, interval', CLIPS)
@pytest.mark.parametrize('delta', [0, 4, 100])
def test_continuous_clips_begin_at_most_delta_apart(clip_len, interval, delta):
    span = (clip_len - 1) * interval + 1
    for total in (1, span, 2 * span + 5):
        gap = min(delta, max(total - span, 0))
        starts = range(max(total - span, 0) - gap + 1)
        pairs = ([(a, a) for a in starts] if gap == 0 else
                 [(a, a + d) for a in starts for d in range(1, gap + 1)])
        assert_follows(draw(total, clip_len, interval, mode='continuous', delta=delta),
                       dict.fromkeys(pairs, 1 / len(pairs)))


def test_max_gap_limits_the_distance_and_reaches_every_part_of_a_video():
    pairs = draw(40, 3, 2, max_gap=7)
    assert {b - a for a, b in pairs} == {5, 6, 7}
    # windows of 12 frames at 29 positions, cut into two sections of 6
    assert {a for a, _ in pairs} == set(range(30)) and {b for _, b in pairs} == set(range(6, 36))


def test_frames_are_laid_out_as_mmaction_formats_them():
    results = SampleClipPair(4, 2, num_pairs=3)(dict(total_frames=30, start_index=1))
    assert results['frame_inds'].min() >= 1 and results['frame_inds'].dtype == np.int64
    results['imgs'] = [np.full((4, 5, 3), i, np.uint8) for i in results['frame_inds']]
    clips = FormatShape('NCTHW')(results)['imgs']
    assert clips.shape == (6, 3, 4, 4, 5)
    assert clips[:, 0, :, 0, 0].ravel().tolist() == results['frame_inds'].tolist()
    assert (clips[0::2, 0, -1, 0, 0] < clips[1::2, 0, 0, 0, 0]).all()  # first clips come first


@pytest.mark.parametrize('kwargs, message', [
    (dict(clip_len=0), 'SampleClipPair: clip_len=0 should be an integer of at least 1'),
    (dict(clip_len=4, frame_interval=1.5), 'frame_interval=1.5'),
    (dict(clip_len=4, num_pairs=0), 'SampleClipPair: num_pairs=0'),
    (dict(clip_len=4, mode='continuous'), 'SampleClipPair: .* needs delta'),
    (dict(clip_len=4, frame_interval=3, max_gap=9), 'each spans 10 frames: set it to 10 or more'),
])
def test_wrong_values_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SampleClipPair(**kwargs)


def test_packed_frames_are_refused_unless_all_are_stored():
    transform, sparse = SampleClipPair(2), np.arange(0, 40, 4, dtype=np.int32)
    with pytest.raises(ValueError, match='only 10 of 40 are packed'):
        transform(dict(total_frames=40, stored_frames=sparse))
    every = transform(dict(total_frames=40, stored_frames=np.arange(40, dtype=np.int32)))
    assert every['frame_inds'].shape == (4, )


def test_a_video_without_frames_is_refused():
    with pytest.raises(ValueError, match='total_frames=0'):
        SampleClipPair(2)(dict(total_frames=0))
