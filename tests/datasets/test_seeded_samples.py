"""SeededSamples: concatenated mmpretrain datasets, drawn the same by any number of workers."""
import pickle
from typing import Any

import mmpretrain.datasets  # noqa: F401
import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, DefaultScope
from torch.utils.data import DataLoader

from tests.helpers.classifiers import write_photos
from vicmae_mm.datasets import EpochSampler, SampleIndex, SeededSamples, TooManyBadVideosError
from vicmae_mm.datasets.readers import VideoError


@pytest.fixture
def joint(tmp_path) -> Any:
    """Two folders of photos, randomly cropped and flipped by stock transforms."""
    photos = dict(
        type='mmpretrain.CustomDataset', data_root=str(write_photos(tmp_path / 'photos')),
        pipeline=[
            dict(type='mmpretrain.LoadImageFromFile'),
            dict(type='mmpretrain.RandomResizedCrop', scale=16),
            dict(type='mmpretrain.ColorJitter', brightness=.5),
            dict(type='mmpretrain.PackInputs'),
        ])
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(dict(type='ConcatDataset', datasets=[photos, photos]))


def images(dataset: Any, workers: int = 0, epoch: int = 0) -> torch.Tensor:
    sampler = EpochSampler(dataset, seed=1)
    sampler.set_epoch(epoch)
    loader = DataLoader(
        dataset, 3, sampler=sampler, num_workers=workers,
        collate_fn=lambda samples: torch.stack([sample['inputs'] for sample in samples]))
    return torch.cat(list(loader))


def test_any_workers_draw_the_same(joint):
    seeded = SeededSamples(joint)
    first = images(seeded)
    assert torch.equal(images(seeded, workers=2), first)
    assert not torch.equal(images(seeded, epoch=1), first)
    assert not torch.equal(images(joint), images(joint))
    assert len({image.sum().item() for image in first}) == len(joint)  # a stream a sample


def test_attributes_are_those_of_the_dataset(joint):
    seeded = pickle.loads(pickle.dumps(SeededSamples(joint)))
    assert len(seeded) == len(joint) and seeded.metainfo == joint.metainfo
    assert seeded[0]['inputs'].shape == (3, 16, 16)  # a plain index as ever


def test_from_a_config(tmp_path):
    config = dict(
        type='vicmae_mm.SeededSamples',
        dataset=dict(type='mmpretrain.CustomDataset', data_root=str(write_photos(tmp_path))))
    assert len(DATASETS.build(config)) == 6


def test_a_bad_image_of_a_stock_dataset_is_replaced_in_training_and_named_elsewhere(tmp_path):
    root = write_photos(tmp_path / 'photos', 1)
    (root / 'class_0/0.png').write_bytes(b'')
    stock = dict(type='CustomDataset', data_root=str(root), pipeline=[
        dict(type='LoadImageFromFile')])
    for config in (stock, dict(type='RepeatDataset', times=2, dataset=stock),
                   dict(type='ConcatDataset', datasets=[stock, stock])):
        dataset = SeededSamples(config, max_bad_share=0.5)
        bad = SampleIndex(0, 0, 0)
        assert np.array_equal(dataset[bad]['img'], SeededSamples(config, 0.5)[bad]['img'])
        assert len(dataset.bad_videos) == 1
        with pytest.raises(VideoError, match=r'class_0/0\.png: is empty'):
            dataset[0]  # a plain index has no stream to draw another one
        dataset.test_mode = True
        with pytest.raises(VideoError, match=r'class_0/0\.png: is empty'):
            dataset[bad]
        assert dataset[SampleIndex(1, 0, 0)]['img'].shape
    with pytest.raises(
            TooManyBadVideosError, match=r'(?s)1 of 2 .* max_bad_share .*SeededSamples'):
        SeededSamples(stock)[bad]
    ours = dict(stock, type='vicmae_mm.LabelledImages', max_bad_share=0.5)
    mixed = SeededSamples(dict(type='ConcatDataset', datasets=[ours, stock]))
    assert mixed[bad]['img'].shape and not mixed.skips
    with pytest.raises(VideoError, match=r'class_0/0\.png: is empty'):
        mixed[SampleIndex(2, 0, 0)]
    dataset = SeededSamples(stock)
    dataset.dataset.pipeline.transforms.append(lambda results: results['nothing'])
    with pytest.raises(KeyError, match='nothing'):
        dataset[SampleIndex(1, 0, 0)]
