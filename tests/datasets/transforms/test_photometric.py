"""Colours are changed as torchvision changes them."""
import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import TRANSFORMS
from torchvision.transforms.v2 import functional as F

from vicmae_mm.datasets import ColorJitter, GaussianBlur, Grayscale, Solarize
from vicmae_mm.datasets.transforms import photometric

# torchvision cuts fractions off, here they are rounded; a fraction of the mean luma is not one of
# a level
ROUNDING = 1


@pytest.fixture(params=['smooth', 'noise'])
def image(request):
    """(48, 64, 3) uint8 RGB, with all colours."""
    generator = np.random.default_rng(0)
    shape = (6, 8) if request.param == 'smooth' else (48, 64)
    image = generator.integers(0, 256, (*shape, 3), dtype=np.uint8)
    return cv2.resize(image, (64, 48), interpolation=cv2.INTER_CUBIC)


def torchvision(function, image, *args):
    return function(torch.from_numpy(image).permute(2, 0, 1), *args).permute(1, 2, 0).numpy()


def difference(image, other):
    return np.abs(image.astype(int) - other.astype(int))


@pytest.mark.parametrize('factor', [0., 0.6, 0.93, 1., 1.4, 3.])
@pytest.mark.parametrize('name', ['adjust_brightness', 'adjust_contrast', 'adjust_saturation'])
def test_factors_are_torchvisions(image, name, factor):
    changed = getattr(photometric, name)(image, factor)
    wanted = torchvision(getattr(F, name), image, factor)
    assert changed.dtype == np.uint8
    assert difference(changed, wanted).max() <= ROUNDING * max(1, factor)  # the luma's, scaled


@pytest.mark.parametrize('shift', [-0.5, -0.1, -0.033, 0., 0.1, 0.5])
def test_hue_is_torchvisions_to_the_bytes_of_hsv(image, shift):
    changed = photometric.adjust_hue(image, shift)
    wanted = torchvision(F.adjust_hue, image, shift)
    # Half a step of 1/256 of the circle is up to 3 levels, for the image and for the shift;
    # saturation in bytes is up to 1; torchvision's own hue for pillow images is 14 off.
    assert difference(changed, wanted).max() <= 12
    assert difference(changed, wanted).mean() < 1


@pytest.mark.parametrize('sigma', [0.1, 0.5, 1., 2.])
def test_blur_is_torchvisions(image, sigma):
    blurred = GaussianBlur((sigma, sigma))(dict(img=image))['img']
    wanted = torchvision(F.gaussian_blur, image, [23, 23], [sigma, sigma])
    # OpenCV's kernel ends at three deviations, with weights in steps of 1/256
    assert difference(blurred, wanted).max() <= 2
    assert difference(blurred, wanted).mean() < 0.3


def test_grayscale_is_torchvisions(image):
    gray = Grayscale()(dict(img=image))['img']
    assert gray.shape == image.shape
    assert difference(gray, torchvision(F.rgb_to_grayscale, image, 3)).max() <= ROUNDING


def test_red_is_not_taken_for_blue():
    red = np.full((4, 4, 3), (200, 0, 0), np.uint8)
    assert Grayscale()(dict(img=red))['img'][0, 0].tolist() == [60] * 3
    assert photometric.adjust_hue(red, 1 / 3)[0, 0].argmax() == 1


def test_jitter_draws_factors_and_their_order(monkeypatch):
    calls = []
    for name in ('brightness', 'contrast', 'saturation', 'hue'):
        monkeypatch.setattr(photometric, f'adjust_{name}',
                            lambda image, factor, name=name: calls.append((name, factor)) or image)
    jitter = ColorJitter(0.4, (0.5, 0.6), 0.2, 0.1)
    np.random.seed(0)
    for _ in range(50):
        jitter(dict(img=None))
    ranges = dict(brightness=(0.6, 1.4), contrast=(0.5, 0.6), saturation=(0.8, 1.2),
                  hue=(-0.1, 0.1))
    for name, (low, high) in ranges.items():
        factors = [factor for called, factor in calls if called == name]
        assert len(set(factors)) == 50
        assert low <= min(factors) < (low + high) / 2 < max(factors) <= high
    orders = {tuple(name for name, _ in calls[start:start + 4]) for start in range(0, 200, 4)}
    assert len(orders) > 12


def test_jitter_leaves_out_what_is_not_asked_for(image):
    assert np.array_equal(ColorJitter()(dict(img=image))['img'], image)


def test_images_that_are_passed_in_stay_as_they_are(image):
    before = image.copy()
    for transform in (ColorJitter(0.4, 0.4, 0.2, 0.1), Grayscale(), GaussianBlur((1., 2.))):
        assert not np.array_equal(transform(dict(img=image))['img'], before)
    assert np.array_equal(image, before)


@pytest.mark.parametrize('sigma', [(0., 1.), (2., 1.), 1., (.1, 1., 2.)])
def test_wrong_deviations_are_refused(sigma):
    with pytest.raises(ValueError, match='two standard deviations'):
        GaussianBlur(sigma)


def test_table_6_colours_the_target_alone(repo, image):
    settings = Config.fromfile(repo / 'configs/_base_/datasets/color_target.py').color_target
    colour = TRANSFORMS.build(settings)
    np.random.seed(0)
    pairs = [colour(dict(imgs=[image, image]))['imgs'] for _ in range(200)]
    assert all(np.array_equal(first, image) for first, _ in pairs)
    seconds = [second for _, second in pairs]
    gray = sum(np.ptp(second.astype(int), axis=-1).max() == 0 for second in seconds)
    unchanged = sum(np.array_equal(second, image) for second in seconds)
    assert 24 <= gray <= 56  # 0.2 of 200, within three deviations
    assert 4 <= unchanged <= 28  # (1 - 0.8)(1 - 0.2)(1 - 0.5) of 200: no jitter, grey or blur


@pytest.mark.parametrize('threshold', [0, 1, 127.5, 128, 255, 256])
def test_solarize_is_torchvisions(image, threshold):
    changed = Solarize(threshold)(dict(img=image.copy()))['img']
    assert changed.dtype == np.uint8
    wanted = image if threshold == 256 else torchvision(F.solarize, image, threshold)
    assert np.array_equal(changed, wanted)


@pytest.mark.parametrize('threshold', [-1, 257, float('nan')])
def test_solarize_thresholds(threshold):
    with pytest.raises(ValueError, match='should be in'):
        Solarize(threshold)
