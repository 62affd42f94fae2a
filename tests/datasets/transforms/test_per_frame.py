"""PerFrame with the image transforms of mmpretrain, mmcv and torchvision."""
import random

import mmpretrain.datasets.transforms  # noqa: F401  (registers its transforms)
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import TRANSFORMS
from PIL import Image, ImageEnhance

from vicmae_mm.datasets.transforms import PerFrame

CROP = dict(type='RandomResizedCrop', scale=24, crop_ratio_range=(0.5, 1.0),
            interpolation='bicubic')
FLIP = dict(type='RandomFlip', prob=0.5, direction='horizontal')
COLOUR = [
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.2),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True),
    dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5),
]
TORCHVISION = [
    dict(type='NumpyToPIL', to_rgb=False),
    dict(type='torchvision/RandomResizedCrop', size=24, scale=(0.5, 1.0)),
    dict(type='torchvision/ColorJitter', brightness=0.4),
    dict(type='PILToNumpy', to_bgr=False),
]


def frames(count: int = 2, same: bool = False) -> dict:
    """Results after decoding ``count`` frames of 32 x 40."""
    rng = np.random.default_rng(0)
    imgs = [rng.integers(0, 256, (32, 40, 3), dtype=np.uint8) for _ in range(count)]
    return dict(imgs=[imgs[0].copy() for _ in imgs] if same else imgs, img_shape=(32, 40))


def seed(value: int = 0) -> None:
    """Seed all three generators."""
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)


@pytest.mark.parametrize('transforms', [[CROP, FLIP], COLOUR, TORCHVISION],
                         ids=['spatial', 'colour', 'torchvision'])
def test_frames_differ_unless_randomness_is_shared(transforms):
    seed()
    own, shared = PerFrame(transforms), PerFrame(transforms, share_random_params=True)
    differ = 0
    for _ in range(8):
        first, second = own(frames(same=True))['imgs']
        differ += not np.array_equal(first, second)
        first, second = shared(frames(same=True))['imgs']
        assert np.array_equal(first, second)
    assert differ >= 6


def test_shared_randomness_still_changes_from_sample_to_sample():
    seed()
    shared = PerFrame([CROP], share_random_params=True)
    assert len({shared(frames(same=True))['imgs'][0].tobytes() for _ in range(5)}) == 5


def test_each_frame_equals_the_transform_applied_alone():
    seed(3)
    results = PerFrame([CROP, FLIP])(frames())
    seed(3)
    alone = [TRANSFORMS.build(CROP), TRANSFORMS.build(FLIP)]
    for img, got in zip(frames()['imgs'], results['imgs'], strict=True):
        expected = dict(img=img)
        for transform in alone:
            expected = transform(expected)
        assert np.array_equal(expected['img'], got)
    assert results['img_shape'] == (24, 24)


def test_only_the_chosen_frame_of_every_pair_changes():
    invert = [lambda results: dict(results, img=255 - results['img'])]
    for chosen in (0, 1):
        before = frames(6)['imgs']
        after = PerFrame(invert, frames=[chosen])(frames(6))['imgs']
        for position, (a, b) in enumerate(zip(before, after, strict=True)):
            assert np.array_equal(b, 255 - a if position % 2 == chosen else a)


def test_target_colouring_leaves_the_first_frame_alone():
    seed()
    results = PerFrame(COLOUR, frames=[1])(frames())
    assert np.array_equal(results['imgs'][0], frames()['imgs'][0])
    assert not np.array_equal(results['imgs'][1], frames()['imgs'][1])


def test_qualified_types_need_no_default_scope():
    from mmengine.registry import DefaultScope
    with DefaultScope.overwrite_default_scope('mmaction'):  # RandomResizedCrop exists there too
        transform = PerFrame([dict(CROP, type='mmpretrain.RandomResizedCrop')])
    assert transform(frames())['img_shape'] == (24, 24)


def test_pack_inputs_and_collate_give_two_views():
    from mmengine.dataset import default_collate
    transform = PerFrame([CROP, FLIP])
    pack = TRANSFORMS.build(dict(type='PackInputs', input_key='imgs'))
    samples = [pack(transform(frames())) for _ in range(3)]
    views = samples[0]['inputs']
    assert [(v.shape, v.dtype) for v in views] == [((3, 24, 24), torch.uint8)] * 2
    batch = default_collate(samples)
    assert [tuple(v.shape) for v in batch['inputs']] == [(3, 3, 24, 24)] * 2


def test_a_rejected_frame_rejects_the_sample():
    assert PerFrame([lambda results: None])(frames()) is None


@pytest.mark.parametrize('chosen', [[], [2], [0, -1]])
def test_wrong_positions_are_refused(chosen):
    with pytest.raises(ValueError, match='positions within the pair'):
        PerFrame([CROP], frames=chosen)


def test_error_says_where_to_put_it():
    with pytest.raises(ValueError, match='after VideoDecode'):
        PerFrame([CROP])(dict(filename='a.mp4'))


# operations of mmpretrain's RandAugment and pillow's
ENHANCERS = [('ColorTransform', ImageEnhance.Color), ('Contrast', ImageEnhance.Contrast)]


@pytest.mark.parametrize('name, enhancer', ENHANCERS)
@pytest.mark.parametrize('magnitude', [-0.9, -0.3, 0.5])
def test_colours_of_rgb_frames_are_pillows(name, enhancer, magnitude):
    operation = dict(type=name, magnitude=magnitude, prob=1.0, random_negative_prob=0.0)
    # a saturated image: the weights of red and blue, 0.299 and 0.114, matter
    image = frames()['imgs'][0] // np.array([1, 2, 4], dtype=np.uint8)
    expected = np.asarray(enhancer(Image.fromarray(image)).enhance(1 + magnitude)).astype(int)
    right, wrong = (PerFrame([operation], rgb_to_bgr=swap)(dict(imgs=[image.copy()]))['imgs'][0]
                    for swap in (True, False))
    assert np.abs(right - expected).max() <= 2  # roundings of the luma and of the mixture
    assert np.abs(wrong - expected).max() > 5


def test_rand_augment_of_clips_shows_mmpretrain_what_it_expects(repo):
    step = Config.fromfile(repo / 'configs/_base_/datasets/k400_clips_16x4.py').rand_augment
    images = Config.fromfile(repo / 'configs/_base_/datasets/imagenet_randaug.py')
    clips, = step.transforms
    assert step.rgb_to_bgr and images.train_pipeline[0].type == 'LoadImageFromFile'  # BGR
    assert clips.hparams == images.rand_augment.hparams
    image = np.full((40, 40, 3), (124, 116, 104), np.uint8)  # RGB, the mean of ImageNet
    turn = dict(type='mmpretrain.Rotate', angle=30., prob=1., pad_val=clips.hparams.pad_val)
    turned, = PerFrame([turn], rgb_to_bgr=True)(dict(imgs=[image.copy()]))['imgs']
    assert np.array_equal(turned, image)
