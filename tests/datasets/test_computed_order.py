"""Orders that are computed instead of stored: complete, random, the same wherever they begin."""
from unittest.mock import patch

import numpy as np
import pytest

from vicmae_mm.datasets import EpochSampler, SampleIndex, samplers
from vicmae_mm.datasets.samplers import computed_permutation


def test_every_number_once():
    for size in (*range(1, 200), 256, 257, 4097, 2**16, 100_003):
        numbers = computed_permutation(np.arange(size), size, 3, 5)
        assert (np.bincount(numbers, minlength=size) == 1).all()


def test_no_more_structure_than_a_stored_permutation():
    """Six standard deviations, for which a sorted, reversed or rotated order is far too regular."""
    size, places = 20_000, np.arange(20_000)
    for key in ((0, 0), (0, 1), (1, 0), (2**31, 800)):
        numbers = computed_permutation(places, size, *key)
        for lag in (1, 2, 141, 142):  # 142: rows of the table
            assert abs(np.corrcoef(numbers[lag:], numbers[:-lag])[0, 1]) < 6 / size**.5
        assert abs((np.diff(numbers) > 0).mean() - .5) < 6 / (12 * size)**.5
        # Poisson, with means 1 and 2
        assert (numbers == places).sum() < 9 and (abs(np.diff(numbers)) == 1).sum() < 12
        # any part of an epoch is from everywhere: chi-square with 99 degrees of freedom
        counts = np.histogram(numbers[:size // 10], 100)[0]
        assert 40 < ((counts - 20)**2 / 20).sum() < 185
    first, second = (computed_permutation(places, size, 0, epoch) for epoch in (0, 1))
    assert (first == second).sum() < 9
    assert abs(np.corrcoef(first, second)[0, 1]) < 6 / size**.5


def test_all_orders_of_few_numbers_occur_equally_often():
    drawn = [tuple(computed_permutation(np.arange(4), 4, key, 0)) for key in range(2400)]
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    assert len(counts) == 24 and ((counts - 100)**2 / 100).sum() < 60  # 23 degrees of freedom


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('processes', [1, 2, 3])
def test_epoch_is_the_same_for_any_number_of_processes(monkeypatch, shuffle, processes):
    monkeypatch.setattr(samplers, 'MAX_STORED', 0)
    monkeypatch.setattr(samplers, '_AT_ONCE', 4)
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
    order = (computed_permutation(np.arange(13), 13, 5, 2) if shuffle else np.arange(13)).tolist()
    assert together == (order + order)[:len(together)]


def test_start_in_a_long_epoch_computes_only_what_follows(monkeypatch):
    asked = []
    monkeypatch.setattr(samplers, 'computed_permutation', lambda places, **kwargs: (
        asked.append(places), computed_permutation(places, **kwargs))[1])
    sampler = EpochSampler(range(10**9), seed=0)
    sampler.start_at(999_999_990)
    assert len({*sampler}) == 10
    assert [len(places) for places in asked] == [10]
