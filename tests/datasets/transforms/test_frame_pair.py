"""Supports and distributions of SampleFramePair against brute force."""
from collections import Counter
from fractions import Fraction
from itertools import combinations, pairwise, product

import numpy as np
import pytest
from mmaction.datasets.transforms import FormatShape

from vicmae_mm.datasets.transforms import SampleFramePair

DRAWS = 6000
LENGTHS = [1, 2, 3, 10, 11]


def draw(total: int, draws: int = DRAWS, **kwargs) -> Counter:
    """How often each (i, j) comes out of a video of ``total`` frames."""
    np.random.seed(0)
    transform = SampleFramePair(**kwargs)
    return Counter(tuple(transform(dict(total_frames=total))['frame_inds'].tolist())
                   for _ in range(draws))


def sections(total: int, n: int) -> list[list[int]]:
    """Which frames lie in each of n equal sections (frame f at f/total, exactly)."""
    edges = [Fraction(k * total, n) // 1 for k in range(n + 1)]
    return [[f for f in range(total) if a <= f < b] for a, b in pairwise(edges)]


def distant(total: int, n: int = 2) -> dict[tuple[int, int], float]:
    """Probability of each pair under distant sampling."""
    if total == 1:
        return {(0, 0): 1.0}
    probability = Counter()
    choices = list(combinations(sections(total, min(n, total)), 2))
    for first, second in choices:
        for pair in product(first, second):
            probability[pair] += 1 / (len(choices) * len(first) * len(second))
    return probability


def distant_within(total: int, gap: int) -> dict[tuple[int, int], float]:
    """The same in a window of gap + 1 frames anywhere in the video."""
    window = min(total, gap + 1)
    places = total - window + 1
    probability = Counter()
    for start in range(places):
        for (i, j), p in distant(window).items():
            probability[i + start, j + start] += p / places
    return probability


def continuous(total: int, delta: int) -> dict[tuple[int, int], float]:
    """Probability of each pair under continuous sampling (decisions, row 27)."""
    delta = min(delta, total - 1)
    if delta == 0:
        return {(i, i): 1 / total for i in range(total)}
    starts = range(total - delta)
    return {(i, i + gap): 1 / (len(starts) * delta)
            for i in starts for gap in range(1, delta + 1)}


def assert_follows(counts: Counter, probability: dict[tuple[int, int], float]) -> None:
    """Same support, and every frequency within 5 standard deviations."""
    draws = counts.total()
    assert set(counts) == set(probability)
    for pair, p in probability.items():
        assert abs(counts[pair] - draws * p) <= 5 * np.sqrt(draws * p * (1 - p)) + 1e-9, pair


@pytest.mark.parametrize('total', LENGTHS)
def test_distant_is_uniform_over_the_halves(total):
    assert_follows(draw(total), distant(total))


def test_distant_ranges_are_those_of_the_specification():
    pairs = draw(11)
    assert {i for i, _ in pairs} == set(range(5))
    assert {j for _, j in pairs} == set(range(5, 11))


@pytest.mark.parametrize('total', LENGTHS)
@pytest.mark.parametrize('n', [3, 4])
def test_distant_with_more_sections(total, n):
    assert_follows(draw(total, num_sections=n), distant(total, n))


@pytest.mark.parametrize('total', LENGTHS)
@pytest.mark.parametrize('delta', [0, 1, 2, 4, 8, 100])
def test_continuous(total, delta):
    assert_follows(draw(total, mode='continuous', delta=delta), continuous(total, delta))


@pytest.mark.parametrize('total', LENGTHS)
@pytest.mark.parametrize('gap', [1, 2, 3, 10, 1000])
def test_max_gap(total, gap):
    counts = draw(total, max_gap=gap)
    assert max(j - i for i, j in counts) <= gap
    assert_follows(counts, distant_within(total, gap))
    counts = draw(total, mode='continuous', delta=8, max_gap=gap)
    assert_follows(counts, continuous(total, min(8, gap)))


@pytest.mark.parametrize('kwargs', [
    {}, dict(num_sections=5), dict(max_gap=1), dict(max_gap=3, num_sections=4),
    dict(mode='continuous', delta=1), dict(mode='continuous', delta=9, max_gap=2)])
@pytest.mark.parametrize('total', [2, 3, 4, 5, 17, 300])
def test_two_distinct_frames_whenever_there_are_two(kwargs, total):
    for i, j in draw(total, draws=200, **kwargs):
        assert 0 <= i < j < total


@pytest.mark.parametrize('total', LENGTHS)
def test_one_frame_for_the_mae_baseline(total):
    counts = draw(total, num_frames=1)
    assert_follows(counts, {(i,): 1 / total for i in range(total)})


def test_pairs_of_one_video_are_independent():
    np.random.seed(0)
    transform = SampleFramePair(num_pairs=2)
    rows = [transform(dict(total_frames=4))['frame_inds'] for _ in range(DRAWS)]
    assert all(row.shape == (4,) and row.dtype == np.int64 for row in rows)
    joint = Counter((tuple(row[:2].tolist()), tuple(row[2:].tolist())) for row in rows)
    assert_follows(joint, {(a, b): p * q for a, p in distant(4).items()
                           for b, q in distant(4).items()})


@pytest.mark.parametrize('num_frames, num_pairs', [(2, 1), (1, 1), (2, 3)])
def test_mmaction_can_format_the_frames(num_frames, num_pairs):
    results = SampleFramePair(num_frames=num_frames, num_pairs=num_pairs)(
        dict(total_frames=9, start_index=0))
    results['imgs'] = [np.full((4, 5, 3), i, np.uint8) for i in results['frame_inds']]
    imgs = FormatShape('NCTHW')(results)['imgs']
    assert imgs.shape == (num_pairs, 3, num_frames, 4, 5)
    assert imgs[:, 0, :, 0, 0].ravel().tolist() == results['frame_inds'].tolist()


def test_start_index_of_raw_frames_is_added():
    results = SampleFramePair(mode='continuous', delta=0)(dict(total_frames=1, start_index=1))
    assert results['frame_inds'].tolist() == [1, 1]


@pytest.mark.parametrize('kwargs, message', [
    (dict(mode='foo'), "mode='foo' should be one of"),
    (dict(num_sections=1), 'num_sections=1 should be an integer of at least 2'),
    (dict(num_sections=2.5), 'num_sections=2.5'),
    (dict(mode='continuous'), 'needs delta'),
    (dict(mode='continuous', delta=-1), 'delta=-1 should be an integer of at least 0'),
    (dict(mode='continuous', delta=4, num_sections=2), 'num_sections=2 has no meaning'),
    (dict(delta=4), "delta=4 has no meaning for mode='distant'"),
    (dict(max_gap=0), 'max_gap=0 should be an integer of at least 1'),
    (dict(num_frames=3), 'num_frames=3 should be 2'),
    (dict(num_pairs=0), 'num_pairs=0 should be an integer of at least 1'),
    (dict(num_frames=1, num_pairs=2), 'num_pairs=2 needs num_frames=2'),
])
def test_wrong_values_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SampleFramePair(**kwargs)


def test_a_video_without_frames_is_refused():
    with pytest.raises(ValueError, match='total_frames=0'):
        SampleFramePair()(dict(total_frames=0))
