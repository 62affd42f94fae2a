"""Orders that are computed instead of stored: complete, random, the same wherever they begin."""
from unittest.mock import patch

import numpy as np
import pytest

from tests.datasets.test_mixed_pairs import mix, ranks
from vicmae_mm.datasets import EpochSampler, SampleIndex, mixed_pairs, samplers
from vicmae_mm.datasets.epoch_orders import ComputedPermutation, MixedOrder


@pytest.fixture
def nothing_stored(monkeypatch):
    for module in (samplers, mixed_pairs):
        monkeypatch.setattr(module, 'MAX_STORED', 0)
    monkeypatch.setattr(samplers, '_AT_ONCE', 4)


def test_every_number_once():
    for size in (*range(1, 200), 256, 257, 4097, 2**16, 100_003):
        numbers = ComputedPermutation(size, 3, 5)[np.arange(size)]
        assert (np.bincount(numbers, minlength=size) == 1).all()


def test_no_more_structure_than_a_stored_permutation():
    """Six standard deviations, for which a sorted, reversed or rotated order is far too regular."""
    size, places = 20_000, np.arange(20_000)
    for key in ((0, 0), (0, 1), (1, 0), (2**31, 800)):
        numbers = ComputedPermutation(size, *key)[places]
        for lag in (1, 2, 141, 142):  # 142: rows of the table
            assert abs(np.corrcoef(numbers[lag:], numbers[:-lag])[0, 1]) < 6 / size**.5
        assert abs((np.diff(numbers) > 0).mean() - .5) < 6 / (12 * size)**.5
        # Poisson, with means 1 and 2
        assert (numbers == places).sum() < 9 and (abs(np.diff(numbers)) == 1).sum() < 12
        # any part of an epoch is from everywhere: chi-square with 99 degrees of freedom
        counts = np.histogram(numbers[:size // 10], 100)[0]
        assert 40 < ((counts - 20)**2 / 20).sum() < 185
    first, second = (ComputedPermutation(size, 0, epoch)[places] for epoch in (0, 1))
    assert (first == second).sum() < 9
    assert abs(np.corrcoef(first, second)[0, 1]) < 6 / size**.5


def test_all_orders_of_few_numbers_occur_equally_often():
    drawn = [tuple(ComputedPermutation(4, key)[np.arange(4)]) for key in range(2400)]
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    assert len(counts) == 24 and ((counts - 100)**2 / 100).sum() < 60  # 23 degrees of freedom


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('processes', [1, 2, 3])
def test_epoch_is_the_same_for_any_number_of_processes(nothing_stored, shuffle, processes):
    drawn = []
    for rank in range(processes):
        with patch('mmengine.dataset.sampler.get_dist_info', return_value=(rank, processes)):
            sampler = EpochSampler(range(13), shuffle=shuffle, seed=5)
        sampler.set_epoch(2)
        whole = list(sampler)
        assert len(whole) == len(sampler) and {type(i) for i in whole} == {SampleIndex}
        for position in (0, 1, len(whole) - 1, len(whole)):
            sampler.start_at(position)
            assert list(sampler) == whole[position:]
        drawn.append(whole)
    together = [i for row in zip(*drawn, strict=True) for i in row]
    order = (ComputedPermutation(13, 5, 2)[np.arange(13)] if shuffle else np.arange(13)).tolist()
    assert together == (order + order)[:len(together)]


def test_start_in_a_long_epoch_computes_only_what_follows(monkeypatch):
    asked = []
    compute = ComputedPermutation.__getitem__
    monkeypatch.setattr(ComputedPermutation, '__getitem__',
                        lambda self, places: (asked.append(places), compute(self, places))[1])
    sampler = EpochSampler(range(10**9), seed=0)
    sampler.start_at(999_999_990)
    assert len({*sampler}) == 10
    assert [len(places) for places in asked] == [10]


@pytest.mark.parametrize('counts', [(1, ), (1, 1), (7, 3), (5, 1, 1, 1, 1, 1), (190, 70, 3),
                                    (13, 11, 7, 5, 3), (90, 90)])
@pytest.mark.parametrize('shuffle', [True, False])
def test_every_part_of_a_mix_has_the_shares(counts, shuffle):
    total, places = sum(counts), np.arange(sum(counts))
    for epoch in range(5):
        order = MixedOrder(counts, 0, epoch, shuffle=shuffle)
        whole = order[places]
        assert sorted(whole) == [*range(total)]
        for length in (1, 7):
            assert whole.tolist() == [
                i for start in range(0, total, length) for i in order[places[start:start + length]]]
        assert order[np.array([total - 1, 0])].tolist() == [whole[-1], whole[0]]
        sources = np.searchsorted(np.cumsum(counts), whole, side='right')
        for source, count in enumerate(counts):
            off = abs(np.cumsum(sources == source) * total - (places + 1) * count).max()
            assert off <= (len(counts) - 1) * total


@pytest.mark.parametrize('weights', [None, (1, 3, 20)])
@pytest.mark.parametrize('epoch_length', [None, 27])
def test_mix_uses_the_samples_of_a_source_equally_often(nothing_stored, weights, epoch_length):
    dataset = mix(weights=weights, epoch_length=epoch_length)
    used = np.zeros((3, 17), int)
    for epoch in range(9):
        whole, = ranks(dataset, epoch=epoch)
        parts = ranks(dataset, 2, epoch, round_up=True)
        assert [i for row in zip(*parts, strict=True) for i in row][:len(whole)] == whole
        for number, inner in map(dataset.locate, whole):
            used[number, inner] += 1
        for times, each in zip(used, dataset.datasets, strict=True):
            assert np.ptp(times[:len(each)]) <= 1
