"""VideoPairDataset: a sample is a function of (seed, epoch, index)."""
import random
from unittest.mock import patch

import numpy as np
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset

from vicmae_mm.datasets import EpochSampler, SampleIndex
from vicmae_mm.datasets.samplers import random_stream

from .helpers import NUM_GOOD, READ, build, epoch_of, loader


def test_sample_is_a_function_of_seed_epoch_and_index(config):
    reference = [epoch_of(loader(config), epoch) for epoch in range(3)]
    for workers, persistent in ((0, False), (1, False), (2, False), (2, True)):
        dataloader = loader(config, workers, persistent=persistent)
        # Out of order as after a resume; workers persist or not.
        assert [epoch_of(dataloader, e) for e in (2, 0, 1)] == [
            reference[2], reference[0], reference[1]], (workers, persistent)
    in_process = loader(config | dict(decode_timeout=None))
    assert [epoch_of(in_process, epoch) for epoch in range(3)] == reference
    for index in range(NUM_GOOD):  # bad ones may draw the same replacement
        views = {item[2:] for items in reference for item in items if item[1] == index}
        assert len(views) >= 3


def test_stock_sampler_repeats_itself_so_this_test_can_fail(config):
    # What EpochSampler is for: with mmengine's sampler each fresh worker starts over.
    def first(sampler, epoch):
        dataloader = loader(config, 1, sampler)
        dataloader.sampler.shuffle = False
        return epoch_of(dataloader, epoch)[0]
    assert first('DefaultSampler', 0) == first('DefaultSampler', 1)
    assert first('vicmae_mm.EpochSampler', 0) != first('vicmae_mm.EpochSampler', 1)


def test_same_sample_for_any_world_size(config):
    dataset = build(config)
    samples = {}
    for world_size in (1, 2, 4):
        for rank in range(world_size):
            with patch('mmengine.dataset.sampler.get_dist_info', return_value=(rank, world_size)):
                sampler = EpochSampler(dataset, seed=1)
            for index in sampler:
                views = [v.numpy().tobytes() for v in dataset[index]['inputs']]
                assert samples.setdefault(int(index), views) == views


def test_sample_does_not_depend_on_what_is_already_known_to_be_bad(config):
    indices = [SampleIndex(i, seed=0, epoch=0) for i in range(13)]
    fresh = build(config)
    first = [fresh[i]['data_samples'].filename for i in indices]
    assert first == [fresh[i]['data_samples'].filename for i in indices]
    last = build(config)
    assert first[::-1] == [last[i]['data_samples'].filename for i in reversed(indices)]


def test_training_generators_are_not_disturbed(config):
    dataset = build(config)
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    expected = random.random(), np.random.rand(), torch.rand(1)
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    for index in range(13):
        dataset[SampleIndex(index, 0, 0)]
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected


def test_plain_index_draws_from_the_global_generators(config):
    dataset = build(config, pipeline=READ)
    np.random.seed(0)
    first = [dataset[0]['frame_inds'].tolist() for _ in range(6)]
    np.random.seed(0)
    assert first == [dataset[0]['frame_inds'].tolist() for _ in range(6)]
    assert len(set(map(tuple, first))) > 1


def test_stream_survives_concat_and_repeat(config, clips):
    folder = build(dict(data_prefix=dict(video=str(clips / 'good one')), pipeline=READ))
    repeat = RepeatDataset(folder, times=16)
    picks = {tuple(repeat[SampleIndex(i * NUM_GOOD, 0, 0)]['frame_inds']) for i in range(16)}
    assert len(picks) > 5  # one video, another pair each time
    concat = ConcatDataset([folder, folder])
    index = SampleIndex(NUM_GOOD + 2, seed=4, epoch=1)
    sample = concat[index]
    assert sample['sample_idx'] == 2
    with random_stream(index):
        again = folder.pipeline(folder.get_data_info(2))
    assert np.array_equal(sample['frame_inds'], again['frame_inds'])
