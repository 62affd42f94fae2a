"""RandomCropFlip draws what mmpretrain's transforms draw, and torch's pixels are Pillow's."""
import random
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from vicmae_mm.datasets import SampleIndex, SeededSamples
from vicmae_mm.datasets.transforms import PackFrames, PerFrame, RandomCropFlip
from vicmae_mm.utils.seeding import get_rng_states

SIZES = [(32, 40), (60, 34), (1, 1), (1, 50), (50, 1), (24, 24), (20, 16)]


def frames(size: tuple[int, int] = (32, 40), count: int = 2) -> list[np.ndarray]:
    """Smooth frames, as of a video."""
    noise = np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8)
    return [cv2.GaussianBlur(each, (0, 0), 1) for each in noise]


def stock(flip_prob: float = 0.5, share_random_params: bool = False, **crop: Any) -> PerFrame:
    """The same with the transforms of mmpretrain."""
    return PerFrame([dict(crop, type='mmpretrain.RandomResizedCrop'),
                     dict(type='mmpretrain.RandomFlip', prob=flip_prob)], share_random_params)


def run(transform: Any, imgs: list[np.ndarray]) -> tuple[dict, tuple]:
    """Transform copies of frames with the generators' seed 7; the result, and their new states."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(7)
    results = transform(dict(imgs=[img.copy() for img in imgs]))
    return results, get_rng_states()


def same_states(one: tuple, other: tuple) -> bool:
    """Whether all generators have the same states."""
    return one[0] == other[0] and str(one[1]) == str(other[1]) and torch.equal(one[2], other[2])


@pytest.mark.parametrize('share', [False, True])
@pytest.mark.parametrize('settings', [
    dict(scale=24, backend='cv2', interpolation='bicubic'),
    dict(scale=(16, 24), backend='cv2', interpolation='area', flip_prob=0.3),
    dict(scale=24, backend='pillow', interpolation='bicubic', crop_ratio_range=(0.5, 1.0)),
    dict(scale=24, backend='pillow', interpolation='lanczos', flip_prob=1.0)], ids=str)
def test_draws_and_pixels_are_those_of_mmpretrain(settings, share):
    settings = dict(settings, share_random_params=share)
    for size in SIZES:
        imgs = frames(size, 4)
        imgs[2] = imgs[2][:max(size[0] // 2, 1)]  # another size within a clip draws again
        (ours, mine), (theirs, other) = (
            run(kind(**settings), imgs) for kind in (RandomCropFlip, stock))
        assert same_states(mine, other) and ours['img_shape'] == theirs['img_shape']
        for one, two in zip(ours['imgs'], theirs['imgs'], strict=True):
            assert np.array_equal(one, two)


@pytest.mark.parametrize('scale', [24, (30, 17), (90, 100)])
@pytest.mark.parametrize('interpolation', ['bicubic', 'bilinear'])
def test_pixels_of_torch_are_pillows(interpolation, scale):
    for size in (*SIZES, (200, 150)):
        settings = dict(scale=scale, interpolation=interpolation)
        (ours, mine), (pillows, other) = (run(each, frames(size, 4)) for each in (
            RandomCropFlip(**settings), stock(**settings, backend='pillow')))
        assert same_states(mine, other) and ours['img_shape'] == pillows['img_shape']
        for one, two in zip(ours['imgs'], pillows['imgs'], strict=True):
            difference = np.abs(one.astype(int) - two)
            assert np.quantile(difference, 0.97) <= 1 and difference.mean() < 0.3


@pytest.mark.parametrize('backend', ['torch', 'cv2', 'pillow'])
def test_frames_are_contiguous_and_packed_as_planes(backend):
    results, _ = run(RandomCropFlip(24, flip_prob=1.0, backend=backend), frames())
    packed = PackFrames(meta_keys=())(results)['inputs']
    for img, tensor in zip(results['imgs'], packed, strict=True):
        assert img.flags.c_contiguous and img.flags.writeable
        assert tensor.is_contiguous() and np.array_equal(tensor.numpy(), img.transpose(2, 0, 1))


@pytest.mark.parametrize('wrong, message', [
    (dict(backend='opencv'), "backend='opencv' one of .'torch', 'cv2', 'pillow'.,"),
    (dict(backend='pillow', interpolation='area'), "interpolation='area' one of its .'bicubic'"),
    (dict(interpolation='area'), "interpolation='area' one of its .'bicubic', 'bilinear'.[.]"),
    (dict(scale=(24, 0)), r'scale=\(24, 0\) should be a side or \(height, width\) above 0'),
    (dict(scale=(8, 8, 8)), r'scale=\(8, 8, 8\) should be a side'),
    (dict(scale='24'), "scale='24' should be a side"),
    (dict(scale=24.5), 'scale=24.5 should be a side'),
    (dict(scale=None), 'scale=None should be a side'),
    (dict(backend=['cv2']), r"backend=\['cv2'\] one of"),
    (dict(crop_ratio_range=(-1, 1)), r'crop_ratio_range=\(-1, 1\) should begin with 0 or more'),
    (dict(aspect_ratio_range=(0, 1)), r'aspect_ratio_range=\(0, 1\) above 0'),
    (dict(flip_prob='1'), r"flip_prob='1' a number in \[0, 1\]"),
    (dict(flip_prob=1.5), r'flip_prob=1.5 a number in \[0, 1\]')])
def test_wrong_arguments_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        RandomCropFlip(**dict(dict(scale=24), **wrong))


@pytest.mark.parametrize('imgs', [
    None, [], np.zeros((2, 8, 8, 3), np.uint8), [np.zeros((8, 8, 3), np.float32)],
    [np.zeros((8, 8), np.uint8)], [np.zeros((8, 8, 4), np.uint8)],
    [torch.zeros(3, 8, 8, dtype=torch.uint8)]])
def test_anything_but_frames_is_refused(imgs):
    with pytest.raises(ValueError, match='a list of uint8 frames: put it after VideoDecode'):
        RandomCropFlip(24)(dict(imgs=imgs))


def test_raw_frames_of_mmaction2_are_drawn_as_docs_data_says(tmp_path):
    images = frames((40, 50), 9)
    (tmp_path / 'frames' / 'a').mkdir(parents=True)
    for number, image in enumerate(images, 1):
        cv2.imwrite(str(tmp_path / f'frames/a/img_{number:05}.jpg'), image[..., ::-1])
    (tmp_path / 'list.txt').write_text('a 9 0\n')
    dataset = SeededSamples(dict(
        type='mmaction.RawframeDataset', ann_file=str(tmp_path / 'list.txt'),
        data_prefix=dict(img=str(tmp_path / 'frames')), pipeline=[
            dict(type='vicmae_mm.SampleFramePair'), dict(type='mmaction.RawFrameDecode'),
            dict(type='vicmae_mm.RandomCropFlip', scale=24), dict(type='vicmae_mm.PackFrames')]))
    first, again, other = (
        dataset[SampleIndex(0, 1, epoch)]['inputs'] for epoch in (0, 0, 1))
    assert [view.shape for view in first] == [(3, 24, 24)] * 2
    assert all(map(torch.equal, first, again)) and not any(map(torch.equal, first, other))
