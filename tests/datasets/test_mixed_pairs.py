"""MixedPairs: exact shares for any number of workers and processes, and what is refused."""
import itertools
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from tests.helpers.classifiers import write_photos
from vicmae_mm.datasets import EpochSampler, ImagePairDataset, MixedPairs, SampleIndex
from vicmae_mm.datasets.mixed_pairs import largest_remainders
from vicmae_mm.engine.hooks.bad_video_hook import iter_pair_datasets


class Numbers:
    """Samples with their number and something random."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        if index >= self.length:
            raise IndexError(index)
        return dict(inputs=(int(index), np.random.rand()), data_samples=DataSample())


def mix(lengths: tuple[int, ...] = (17, 5, 3), weights: tuple | None = None,
        epoch_length: int | None = None) -> MixedPairs:
    names = 'abcdef'[:len(lengths)]
    return MixedPairs({name: Numbers(length) for name, length in zip(names, lengths, strict=True)},
                      weights and dict(zip(names, weights, strict=True)), epoch_length)


def ranks(dataset: MixedPairs, world_size: int = 1, epoch: int = 0, round_up: bool = False,
          **kwargs: Any) -> list[list[SampleIndex]]:
    """The indices that each process draws."""
    drawn = []
    for rank in range(world_size):
        with patch('mmengine.dataset.sampler.get_dist_info', return_value=(rank, world_size)):
            sampler = EpochSampler(dataset, seed=3, round_up=round_up, **kwargs)
        sampler.set_epoch(epoch)
        drawn.append(list(sampler))
        assert len(drawn[-1]) == len(sampler)
    return drawn


WEIGHTS = [None, (1, 1, 1), (0.7, 0.2, 0.1), (1, 3, 20)]


@pytest.mark.parametrize('shares, total, counts', [
    ((2, 1), 24, [16, 8]), ((1, 1, 1), 10, [4, 3, 3]), ((.1, .2, .7), 10, [1, 2, 7]),
    ((1, 1), 1, [1, 0]), ((1281167, 240436), 1521603, [1281167, 240436]),
    ((1, 2, 4), 8, [1, 2, 5])])
def test_counts_by_largest_remainders(shares, total, counts):
    assert largest_remainders(shares, total) == counts


@pytest.mark.parametrize('counts', [
    (1, ), (1, 1), (7, 3), (5, 1, 1, 1, 1, 1), (100, 7, 3), (9, 9, 9, 1), (13, 11, 7, 5, 3)])
@pytest.mark.parametrize('shuffle', [True, False])
def test_every_part_of_an_epoch_has_the_shares(counts, shuffle):
    dataset, total = mix(counts), sum(counts)
    worst = 0
    for epoch in range(20):
        order = dataset.epoch_order(0, epoch, shuffle)
        assert sorted(order) == [*range(total)]
        sources = np.searchsorted(dataset.starts, order, side='right') - 1
        places = np.arange(1, total + 1)
        for source, count in enumerate(counts):
            # exact: times the total number, all are integers
            off = abs(np.cumsum(sources == source) * total - places * count).max()
            assert off <= (len(counts) - 1) * total
            worst = max(worst, off)
    assert worst > 0 or len(counts) == 1


@pytest.mark.parametrize('weights', WEIGHTS)
@pytest.mark.parametrize('epoch_length', [None, 60])
def test_shares_for_any_processes_batches_and_epochs(weights, epoch_length):
    dataset = mix(weights=weights, epoch_length=epoch_length)
    size, counts = len(dataset), dataset.counts
    assert sum(counts) == size == (epoch_length or 25)
    for epoch, global_batch in itertools.product((0, 1, 5), (4, 8)):
        whole, = ranks(dataset, epoch=epoch)
        assert Counter(map(lambda i: dataset.locate(i)[0], whole)) == dict(enumerate(counts))
        kept = size // global_batch * global_batch  # the last batch is incomplete, and dropped
        sources = Counter(dataset.locate(i)[0] for i in whole[:kept])
        assert all(abs(sources[n] * size - kept * count) <= 2 * size
                   for n, count in enumerate(counts))
        batches = [{*whole[start:start + global_batch]} for start in range(0, kept, global_batch)]
        for processes in (2, 4):
            parts = ranks(dataset, processes, epoch)
            step = global_batch // processes
            assert batches == [
                {i for part in parts for i in part[n * step:(n + 1) * step]}
                for n in range(kept // global_batch)]


def test_processes_get_all_sources_in_an_order_that_depends_on_the_epoch():
    dataset, orders = mix((40, 40)), set()
    for processes, epoch in itertools.product((2, 4), range(3)):
        parts = ranks(dataset, processes, epoch)
        whole, = ranks(dataset, epoch=epoch)
        assert [part[n] for n in range(len(parts[0])) for part in parts] == whole
        orders.add(tuple(whole))
        for part in parts:  # equal sources do not fall to every other process
            assert min(Counter(dataset.locate(i)[0] for i in part).values()) >= 20 // processes
    assert len(orders) == 3


@pytest.mark.parametrize('round_up', [True, False])
def test_surplus_is_repeated_or_left_out(round_up):
    parts = ranks(mix(), 4, round_up=round_up)
    drawn = Counter(i for part in parts for i in part)
    assert [len(part) for part in parts] == [7 if round_up else 6] * 4
    assert (sum(drawn.values()) == 28 and len(drawn) == 25) if round_up else len(drawn) == 24


@pytest.mark.parametrize('weights', WEIGHTS)
@pytest.mark.parametrize('epoch_length', [None, 27])
def test_samples_of_a_source_are_used_equally_often(weights, epoch_length):
    dataset = mix(weights=weights, epoch_length=epoch_length)
    used: Counter = Counter({(number, i): 0 for number, each in enumerate(dataset.datasets)
                             for i in range(len(each))})
    orders = set()
    for epoch in range(9):
        whole, = ranks(dataset, epoch=epoch)
        located = [dataset.locate(i) for i in whole]
        orders.add(tuple(located))
        used.update(located)
        for number in range(3):
            times = [count for (source, _), count in used.items() if source == number]
            assert max(times) - min(times) <= 1
        if weights is None and epoch_length is None:
            assert {*used.values()} == {epoch + 1}
    assert len(orders) == 9


def test_a_repeated_sample_has_another_stream():
    dataset = mix((2, ), epoch_length=8)
    samples = [dataset[i]['inputs'] for i in ranks(dataset)[0]]
    assert {number for number, _ in samples} == {0, 1} and len({*samples}) == 8


def test_without_shuffling():
    assert ranks(mix((4, 2)), shuffle=False) == [[0, 4, 1, 2, 5, 3]]


def test_any_workers_draw_the_same():
    def samples(workers: int) -> list:
        dataset = mix(weights=(1, 3, 20))
        sampler = EpochSampler(dataset, seed=1)
        sampler.set_epoch(2)
        return [(sample['data_samples'].source, *sample['inputs']) for batch in DataLoader(
            dataset, 4, sampler=sampler, num_workers=workers, collate_fn=list) for sample in batch]

    alone = samples(0)
    assert alone == samples(3) and {source for source, *_ in alone} == {*'abc'}


def test_plain_indices():
    dataset = mix()
    samples = [dataset[i] for i in range(len(dataset))]
    assert [sample['inputs'][0] for sample in samples] == [*range(17), *range(5), *range(3)]
    assert samples[-1]['data_samples'].source == 'c'
    assert samples[-1]['data_samples'].sources == ('a', 'b', 'c')
    for outside in (-1, len(dataset)):
        with pytest.raises(IndexError):
            dataset[outside]
    for change in (dict(weights=(1, 1, 1)), dict(epoch_length=25)):
        with pytest.raises(ValueError, match=r'MixedPairs: with weights or .*EpochSampler'):
            mix(**change)[0]


@pytest.mark.parametrize('settings, message', [
    (dict(datasets={}), 'should be a dict of datasets'),
    (dict(datasets=[Numbers(3)]), 'should be a dict of datasets'),
    (dict(datasets=dict(a=Numbers(3), b=Numbers(0))), 'b has 0, an epoch 0'),
    (dict(epoch_length=0), 'epoch_length=0 should be an integer of at least 1'),
    (dict(epoch_length=1.5), 'epoch_length=1.5 should be'),
    (dict(epoch_length=True), 'epoch_length=True should be'),
    (dict(weights=dict(a=1e6, b=1)), 'a has 3, an epoch 6, b has 3, an epoch 0'),
    *((dict(weights=weights), 'should have a number above 0 for each of a, b') for weights in (
        dict(a=0, b=1), dict(a=-1, b=1), dict(a=float('nan'), b=1), dict(a=float('inf'), b=1),
        dict(a='1', b=1), dict(a=1), dict(a=1, b=1, c=1), dict(a=1, d=1), {}, [1, 1])),
    (dict(datasets=dict(a=mix())), 'a is or contains a mix'),
    (dict(datasets=dict(a=dict(type='RepeatDataset', times=2, dataset=dict(
        type='vicmae_mm.MixedPairs', datasets=dict(x=Numbers(2)))))), 'a is or contains a mix'),
    (dict(datasets=dict(a=dict(type='vicmae_mm.ImagePairDataset'))),
     'a of MixedPairs: .*set either dataset'),
])
def test_what_cannot_work_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MixedPairs(**{**dict(datasets=dict(a=Numbers(3), b=Numbers(3))), **settings})


@pytest.mark.parametrize('settings, error, message', [
    (dict(data_root='none'), FileNotFoundError, 'none.* does not exist'),
    (dict(data_rot='none', dataset=Numbers(2)), TypeError, 'data_rot'),
    (dict(type='vicmae_mm.ImagePairs'), KeyError, 'ImagePairs is not in'),
    (dict(type='mmpretrain.CustomDataset', ann_file='empty.txt'), ValueError, 'has no samples'),
    (dict(dataset=dict(type='mmpretrain.CustomDataset', ann_file='empty.txt')), ValueError,
     'dataset of ImagePairDataset: it has no samples')])
def test_errors_of_a_source_name_it(tmp_path, monkeypatch, settings, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty.txt').touch()
    with pytest.raises(error, match=f'photos of MixedPairs: .*{message}'):
        MixedPairs(dict(photos={**dict(type='vicmae_mm.ImagePairDataset'), **settings}))


def test_samples_without_data_samples_are_refused(tmp_path):
    photos = ImagePairDataset(data_root=str(write_photos(tmp_path)), pipeline=[
        dict(type='vicmae_mm.LoadImagePair')])
    dataset = MixedPairs(dict(photos=photos))
    with pytest.raises(ValueError, match=r'of photos should end with vicmae_mm\.PackFrames'):
        dataset[0]


PACK = dict(type='vicmae_mm.PackFrames')
CROP = dict(type='vicmae_mm.PerFrame', transforms=[
    dict(type='mmpretrain.RandomResizedCrop', scale=32)])


def image_source(root: Path, **settings: Any) -> dict:
    return dict(type='vicmae_mm.ImagePairDataset', data_root=str(root), pipeline=[
        dict(type='vicmae_mm.LoadImagePair'), CROP, PACK], **settings)


def test_a_bad_image_is_replaced_within_its_source(tmp_path):
    roots = {name: write_photos(tmp_path / name) for name in 'abc'}
    (roots['a'] / 'class_0/0.png').write_bytes(b'')
    (roots['c'] / 'class_1/1.png').write_bytes(b'')
    stock = dict(type='mmpretrain.CustomDataset', data_root=str(roots['c']), pipeline=[
        dict(type='mmpretrain.LoadImageFromFile'), dict(type='mmpretrain.PackInputs')])
    dataset = MixedPairs(dict(a=image_source(roots['a']), b=image_source(roots['b']), c=stock),
                         dict(a=1, b=1, c=1), 18)
    guarded = list(iter_pair_datasets(dataset))
    assert guarded == dataset.datasets
    for each in guarded:
        each.share_bad_videos(str(tmp_path / 'bad_videos.jsonl'))
    for epoch in range(2):
        whole, = ranks(dataset, epoch=epoch)
        samples = [dataset[index]['data_samples'] for index in whole]
        assert Counter(sample.source for sample in samples) == dict(a=6, b=6, c=6)
        assert all(sample.img_path.startswith(str(roots[sample.source])) for sample in samples)
    assert [len(each.bad_videos) for each in guarded] == [1, 0, 1]
    fresh = MixedPairs(dict(a=image_source(roots['a']), b=image_source(roots['b']), c=stock),
                       dict(a=1, b=1, c=1), 18)
    for index in ranks(fresh)[0]:
        assert fresh[index]['data_samples'].img_path == dataset[index]['data_samples'].img_path
