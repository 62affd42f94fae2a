"""ImagePairDataset and LoadImagePair: the same samples and promises as of videos."""
import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset
from PIL import Image
from torch.utils.data import DataLoader

from tests.datasets.bad_videos.test_skipping_dataset import BAD, GOOD
from tests.helpers.classifiers import write_photos
from tests.helpers.videos import make_video
from vicmae_mm.datasets import (
    EpochSampler,
    ImagePairDataset,
    LoadImagePair,
    SampleIndex,
    VideoPairDataset,
)
from vicmae_mm.datasets.readers import VideoError, base
from vicmae_mm.datasets.readers.image_or_video import decode_image

LOAD, PACK = dict(type='vicmae_mm.LoadImagePair'), dict(type='vicmae_mm.PackFrames')
CROP = dict(type='vicmae_mm.PerFrame', transforms=[
    dict(type='mmpretrain.RandomResizedCrop', scale=32)])
SOLARIZE = dict(type='vicmae_mm.PerFrame', frames=[1], transforms=[
    dict(type='vicmae_mm.Solarize')])


class InMemory(BaseDataset):
    """Grey and coloured arrays, as mmpretrain's MNIST and CIFAR have; two are equal."""

    def load_data_list(self) -> list[dict]:
        rng = np.random.default_rng(0)
        grey = rng.integers(0, 256, (28, 28), dtype=np.uint8)
        colour = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        return [dict(img=image, gt_label=n) for n, image in enumerate((grey, colour, colour))]


def build(*views: dict, **settings: Any) -> ImagePairDataset:
    return ImagePairDataset(pipeline=[LOAD, *views, PACK], **settings)


def paths(dataset: ImagePairDataset) -> list[str]:
    return [os.path.relpath(dataset.get_data_info(n)['img_path'], dataset.data_root)
            for n in range(len(dataset))]


@pytest.fixture
def photos(tmp_path) -> Path:
    return write_photos(tmp_path / 'photos')


def test_the_same_sample_as_of_a_video(photos, tmp_path):
    make_video(tmp_path / 'one.mp4', 1, size=(32, 32))
    videos = VideoPairDataset(data_prefix=dict(video=str(tmp_path)), decode_timeout=None, pipeline=[
        dict(type='vicmae_mm.VideoInit'), dict(type='vicmae_mm.SampleFramePair'),
        dict(type='vicmae_mm.VideoDecode')])
    record = ImagePairDataset(data_root=str(photos), pipeline=[LOAD])[0]
    of_video = videos[0]
    for key in {*of_video} - {'filename', 'imgs', 'video_reader', 'avg_fps', 'label', 'modality',
                              'start_index'}:
        assert np.array_equal(record[key], of_video[key]), key
    sample = build(data_root=str(photos))[0]
    shapes = [(*view.shape, view.dtype) for view in sample['inputs']]
    assert shapes == [(3, 32, 32, torch.uint8)] * 2
    assert torch.equal(*sample['inputs'])
    expected = decode_image(photos / 'class_0/0.png').transpose(2, 0, 1)
    assert np.array_equal(sample['inputs'][0], expected)
    frame, = build(data_root=str(photos))[0]['inputs'][:1]
    single = ImagePairDataset(data_root=str(photos), pipeline=[
        dict(LOAD, num_frames=1), PACK])[0]['inputs']
    assert len(single) == 1 and torch.equal(single[0], frame)


def test_each_view_has_its_augmentation(photos):
    first, second = build(SOLARIZE, data_root=str(photos))[0]['inputs']
    plain = build(data_root=str(photos))[0]['inputs'][0]
    assert torch.equal(first, plain)
    assert torch.equal(second, torch.where(plain >= 128, 255 - plain, plain))


def test_folders_at_any_depth_and_lists(photos):
    (photos / 'class_0/deep/er').mkdir(parents=True)
    os.rename(photos / 'class_0/0.png', photos / 'class_0/deep/er/0.PNG')
    (photos / 'notes.txt').write_text('x')
    assert paths(build(data_root=str(photos))) == [
        'class_0/1.png', 'class_0/deep/er/0.PNG', 'class_1/0.png', 'class_1/1.png',
        'class_2/0.png', 'class_2/1.png']
    below = dict(img_path='photos/class_2')
    assert len(build(data_root=str(photos.parent), data_prefix=below)) == 2
    for name, text in (('list.txt', 'class_1/0.png\nclass_2/1.png\n'),
                       ('labels.txt', 'class_1/0.png 4\nclass_2/1.png 0\n'),
                       ('table.csv', 'image,label\nclass_1/0.png,4\nclass_2/1.png,0\n')):
        (photos / name).write_text(text)
        dataset = build(data_root=str(photos), ann_file=name)
        assert paths(dataset) == ['class_1/0.png', 'class_2/1.png']
        assert [dataset.get_cat_ids(n) for n in (0, 1)] == (
            [[-1], [-1]] if name == 'list.txt' else [[4], [0]])


STOCK = dict(type='mmpretrain.CustomDataset', with_label=False)


@pytest.mark.parametrize('wrap, order', [
    (lambda stock: stock, [0, 1, 2, 3, 4, 5]),
    (lambda stock: dict(type='ConcatDataset', datasets=[stock, stock]), [0, 1, 2, 3, 4, 5] * 2),
    (lambda stock: dict(type='RepeatDataset', times=2, dataset=stock), [0, 1, 2, 3, 4, 5] * 2),
    (lambda stock: dict(stock, indices=2), [0, 1]),
    (lambda stock: dict(stock, type='vicmae_mm.LabelledImages', with_label=True), [*range(6)])])
def test_other_datasets(photos, wrap, order):
    ours = paths(build(data_root=str(photos)))
    dataset = build(CROP, dataset=wrap(dict(STOCK, data_root=str(photos))))
    assert [os.path.relpath(dataset.get_data_info(n)['img_path'], photos)
            for n in range(len(dataset))] == [ours[n] for n in order]
    sample = dataset[SampleIndex(1, 0, 0)]
    assert [view.shape for view in sample['inputs']] == [(3, 32, 32)] * 2
    assert str(photos) in dataset.source


def test_images_in_memory(tmp_path):
    dataset = ImagePairDataset(dataset=ConcatDataset([InMemory(), InMemory()]), pipeline=[LOAD])
    samples = [dataset[n] for n in range(6)]
    arrays = [info['img'] for info in InMemory().load_data_list()]
    for number, sample in enumerate(samples):
        assert np.array_equal(sample['imgs'][0], decode_image(arrays[number % 3]))
        assert sample['imgs'][0] is not sample['imgs'][1]
    # the name says which image it is, wherever it comes from
    assert len({sample['filename'] for sample in samples}) == 2
    assert samples[1]['filename'] == samples[2]['filename'] == samples[4]['filename']
    dataset.share_bad_videos(str(tmp_path / 'bad_videos.jsonl'))
    assert len(dataset.bad_videos) == 0 and 'ConcatDataset' in dataset.source


@pytest.mark.parametrize('kind', GOOD)
def test_images_of_any_mode(photos, kind):
    path = photos / 'class_1/odd.jpg'
    path.write_bytes(GOOD[kind])
    frame = LoadImagePair()(dict(img_path=str(path)))['imgs'][0]
    assert frame.shape == (32, 32, 3) and np.array_equal(frame, decode_image(path))


def test_images_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (40, 20)).save(tmp_path / 'turned.jpg', exif=exif)
    assert LoadImagePair()(dict(img_path=str(tmp_path / 'turned.jpg')))['img_shape'] == (40, 20)


@pytest.mark.parametrize('reason', [*BAD, 'does not exist'])
def test_bad_images_are_replaced_and_listed(photos, tmp_path, reason):
    path = photos / 'class_1/odd.tiff'
    path.touch()
    dataset = build(CROP, data_root=str(photos), max_bad_share=0.5)
    path.unlink() if reason == 'does not exist' else path.write_bytes(BAD[reason])
    index = SampleIndex(paths(dataset).index('class_1/odd.tiff'), 0, 1)
    dataset.share_bad_videos(str(tmp_path / 'bad_videos.jsonl'))
    drawn = [build(CROP, data_root=str(photos), max_bad_share=0.5)[index] for _ in range(2)] if (
        path.exists()) else []
    drawn += [dataset[index], dataset[index]]
    assert all(torch.equal(sample['inputs'][1], drawn[0]['inputs'][1]) for sample in drawn)
    entry, = map(json.loads, (tmp_path / 'bad_videos.jsonl').read_text().splitlines())
    assert entry['path'] == str(path) and reason in entry['reason']
    dataset.test_mode = True
    with pytest.raises(VideoError, match=r'odd\.tiff: '):
        dataset[index]


def test_errors_of_the_machine_are_retried(photos, monkeypatch):
    monkeypatch.setattr(base, 'RETRY_WAITS', (0, ))
    dataset, fails = build(data_root=str(photos)), [True]
    opened = Image.open

    def flaky(path, *args, **kwargs):
        if fails.pop() if fails else False:
            raise OSError(errno.EIO, 'Input/output error')
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Image, 'open', flaky)
    sample = dataset[0]
    assert sample['data_samples'].img_path.endswith('class_0/0.png') and not len(dataset.bad_videos)


def test_a_mistake_in_the_pipeline_is_not_a_bad_file(photos):
    dataset = build(data_root=str(photos))
    dataset.pipeline.transforms.insert(1, lambda results: results['no such key'])
    with pytest.raises(KeyError, match='no such key'):
        dataset[0]


def test_streams_of_seed_epoch_and_index(photos):
    dataset = build(CROP, data_root=str(photos))

    def views(workers: int, epoch: int) -> torch.Tensor:
        sampler = EpochSampler(dataset, seed=1)
        sampler.set_epoch(epoch)
        loader = DataLoader(dataset, 2, sampler=sampler, num_workers=workers, collate_fn=list)
        return torch.stack([view for batch in loader for sample in batch
                            for view in sample['inputs']])

    first = views(0, 0)
    assert torch.equal(views(2, 0), first) and not torch.equal(views(0, 1), first)
    assert not torch.equal(first[::2], first[1::2])


@pytest.mark.parametrize('settings, message', [
    (dict(), 'set either dataset, or data_root'),
    (dict(data_root='x', dataset=dict(STOCK, data_root='x')), 'set either dataset'),
    (dict(data_prefix=dict(video='x')), 'img_path=folder'),
    (dict(data_root='none'), "folder of images 'none/' does not exist"),
    (dict(data_root='.', ann_file='none.txt'), 'none.txt. does not exist'),
    (dict(data_root='.', ann_file='gone.txt'), 'None of the 1 images listed in'),
    (dict(data_root='.', ann_file='classes.txt'), "line 1: 'cat' follows the path 'class_0/0.png'"),
    (dict(data_root='.', ann_file='outside.txt'), 'is outside of'),
    (dict(data_root='videos'), r'No image found in .*Found: \.mp4'),
    (dict(dataset=dict(STOCK, data_root='.', pipeline=[PACK])), 'has a pipeline: move it here'),
    (dict(dataset=[1, 2]), 'list, which has none'),
    (dict(dataset=dict(type='vicmae_mm.VideoPairDataset', data_prefix=dict(video='videos'))),
     'neither the path of a local image'),
    (dict(data_root='.', max_bad_share=2), 'max_bad_share=2 should be in')])
def test_what_cannot_work_is_refused(photos, settings, message, monkeypatch):
    monkeypatch.chdir(photos)
    (photos / 'videos').mkdir()
    (photos / 'videos/a.mp4').touch()
    for name, text in (('gone', 'none.png'), ('classes', 'class_0/0.png cat'),
                       ('outside', '../x.png')):
        (photos / f'{name}.txt').write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ImagePairDataset(**settings)


@pytest.mark.parametrize('num_frames', [0, 3, '2', None])
def test_numbers_of_frames(num_frames):
    with pytest.raises(ValueError, match=r'should be 2 .* or 1'):
        LoadImagePair(num_frames=num_frames)


@pytest.mark.parametrize('record', [dict(filename='a.mp4'), dict(img_path='')])
def test_no_image(record):
    with pytest.raises(ValueError, match=r"needs results\['img_path'\]"):
        LoadImagePair()(record)


def test_arrays_of_unknown_range():
    with pytest.raises(ValueError, match='range of float64'):
        LoadImagePair()(dict(img=np.zeros((4, 4, 3))))
