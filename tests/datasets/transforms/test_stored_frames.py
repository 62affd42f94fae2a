"""SampleFramePair where only some frames of a video are stored, against brute force."""
from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest

from vicmae_mm.datasets.transforms import SampleFramePair

from .test_frame_pair import DRAWS, assert_follows, sections

STORED = [[0], [4, 5], [1, 3, 6, 8], [0, 1, 2, 9], [7, 8, 9, 10]]
TOTAL = 11


def draw(stored: list[int], total: int = TOTAL, **kwargs) -> Counter:
    np.random.seed(0)
    transform = SampleFramePair(**kwargs)
    record = dict(total_frames=total, stored_frames=np.array(stored))
    return Counter(tuple(transform(dict(record))['frame_inds'].tolist()) for _ in range(DRAWS))


def distant(stored, n, begin=0, length=TOTAL) -> dict[tuple[int, int], float]:
    """Probability of each pair of two of the sections of a window that hold stored frames."""
    held = [[f + begin for f in part if f + begin in stored] for part in sections(length, n)]
    choices = list(combinations([part for part in held if part], 2))
    probability = Counter()
    for first, second in choices:
        for pair in product(first, second):
            probability[pair] += 1 / (len(choices) * len(first) * len(second))
    return probability


@pytest.mark.parametrize('n', [2, 3, 5])
@pytest.mark.parametrize('stored', STORED)
def test_distant(stored, n):
    expected = distant(stored, n)
    if expected:
        assert_follows(draw(stored, num_sections=n), expected)
    else:
        with pytest.raises(ValueError, match='Pack more'):
            draw(stored, num_sections=n)


@pytest.mark.parametrize('gap', [1, 4])
@pytest.mark.parametrize('stored', STORED)
def test_distant_within_a_window(stored, gap):
    windows = [distant(stored, 2, begin, gap + 1) for begin in range(TOTAL - gap)]
    windows = [pairs for pairs in windows if pairs]
    expected = Counter()
    for pairs in windows:
        for pair, p in pairs.items():
            expected[pair] += p / len(windows)
    if expected:
        assert_follows(draw(stored, max_gap=gap), expected)
    else:
        with pytest.raises(ValueError, match='Pack more'):
            draw(stored, max_gap=gap)


@pytest.mark.parametrize('delta, max_gap', [(1, None), (3, None), (20, None), (20, 2)])
@pytest.mark.parametrize('stored', STORED)
def test_continuous(stored, delta, max_gap):
    limit = min(delta, TOTAL - 1, max_gap or TOTAL)
    partners = {i: [j for j in stored if 0 < j - i <= limit] for i in stored}
    firsts = [i for i in stored if partners[i]]
    if firsts:
        assert_follows(draw(stored, mode='continuous', delta=delta, max_gap=max_gap), {
            (i, j): 1 / len(firsts) / len(partners[i]) for i in firsts for j in partners[i]})
    else:
        with pytest.raises(ValueError, match=f'no two of the {len(stored)} frames.*--every'):
            draw(stored, mode='continuous', delta=delta, max_gap=max_gap)


@pytest.mark.parametrize('kwargs, pair', [
    (dict(num_frames=1), False), (dict(mode='continuous', delta=0), True)])
@pytest.mark.parametrize('stored', STORED)
def test_single_frames(stored, kwargs, pair):
    assert_follows(draw(stored, **kwargs),
                   {(i, i) if pair else (i,): 1 / len(stored) for i in stored})


@pytest.mark.parametrize('kwargs', [
    dict(), dict(num_sections=4), dict(max_gap=3), dict(mode='continuous', delta=4),
    dict(num_frames=1), dict(num_pairs=2)])
@pytest.mark.parametrize('total', [1, 2, 9])
def test_all_frames_stored_equals_no_stored_frames_key(kwargs, total):
    pairs = []
    for record in (dict(), dict(stored_frames=np.arange(total))):
        np.random.seed(0)
        transform = SampleFramePair(**kwargs)
        pairs.append([transform(dict(record, total_frames=total))['frame_inds'].tolist()
                      for _ in range(50)])
    assert pairs[0] == pairs[1]
