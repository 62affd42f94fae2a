"""EpochSampler and its indices."""
import pickle
from unittest.mock import patch

import pytest
from mmengine.dataset import DefaultSampler

from vicmae_mm.datasets import EpochSampler, SampleIndex


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('world_size', [1, 2, 4])
def test_order_is_that_of_default_sampler(shuffle, world_size):
    for rank in range(world_size):
        with patch('mmengine.dataset.sampler.get_dist_info', return_value=(rank, world_size)):
            ours = EpochSampler(range(11), shuffle=shuffle, seed=5)
            stock = DefaultSampler(range(11), shuffle=shuffle, seed=5)
        for epoch in (0, 3):
            ours.set_epoch(epoch)
            stock.set_epoch(epoch)
            indices = list(ours)
            assert indices == list(stock) and len(indices) == len(ours)
            assert {(type(i), i.seed, i.epoch) for i in indices} == {(SampleIndex, 5, epoch)}
            assert all(i.origin == int(i) for i in indices)


@pytest.mark.parametrize('world_size', [1, 2, 3, 5])
def test_surplus_is_dropped_or_repeated(world_size):
    shares = {True: [], False: []}
    for round_up, share in shares.items():
        for rank in range(world_size):
            with patch('mmengine.dataset.sampler.get_dist_info', return_value=(rank, world_size)):
                sampler = EpochSampler(range(14), seed=5, round_up=round_up)
            share.append(list(sampler))
            assert len(share[-1]) == len(sampler)
    order = list(EpochSampler(range(14), seed=5))
    dropped, repeated = ([i for row in zip(*share, strict=True) for i in row]
                         for share in (shares[False], shares[True]))
    assert dropped == order[:14 // world_size * world_size]
    assert repeated == (order + order)[:-(-14 // world_size) * world_size]


def test_start_inside_an_epoch():
    sampler = EpochSampler(range(9), seed=1)
    sampler.set_epoch(2)
    whole = list(sampler)
    for position in (0, 4, 9):
        sampler.start_at(position)
        assert list(sampler) == whole[position:] and len(sampler) == 9


def test_epoch_is_that_at_the_start_of_the_iteration():
    sampler = EpochSampler(range(3), seed=1)
    iterator = iter(sampler)
    next(iterator)
    sampler.set_epoch(1)
    assert [i.epoch for i in iterator] == [0, 0]


def test_index_survives_pickling_and_the_wrappers_arithmetic():
    index = SampleIndex(17, seed=3, epoch=2)
    for moved, value in ((pickle.loads(pickle.dumps(index)), 17), (index - 10, 7), (index % 5, 2),
                         ((index - 1) % 10 - 2, 4)):
        assert moved == value and isinstance(moved, SampleIndex)
        assert (moved.seed, moved.epoch, moved.origin) == (3, 2, 17)
    assert [10, 20, 30][SampleIndex(1, 0, 0)] == 20
