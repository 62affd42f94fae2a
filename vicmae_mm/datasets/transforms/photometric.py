"""Colour augmentation of uint8 RGB images with OpenCV, with torchvision's definitions.

mmpretrain's and mmcv's transforms do it in floating point or with pillow, several times slower, and
assume the channel order blue, green, red, which decoded videos do not have. To apply a transform
with a probability, wrap it in ``mmengine.RandomApply``.
"""
from collections.abc import Sequence

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.datasets.transforms import ColorJitter as StockColorJitter

from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError

from .shown import ShownTransform


@TRANSFORMS.register_module()
class ColorJitter(StockColorJitter):
    """Change brightness, contrast, saturation and hue by random factors, in random order.

    Equals torchvision's ``ColorJitter`` to within one level of 255, and for the hue, which has 256
    steps as in pillow, to within one level on average.

    Required and modified keys: ``img``, (H, W, 3) uint8 RGB.

    Args:
        brightness, contrast, saturation (float | Sequence[float]): Factors are drawn from
            [max(0, 1 - x), 1 + x], or from [min, max] with min >= 0. Default to 0, no change.
        hue (float | Sequence[float]): The shift is drawn from [-x, x], or from [min, max], as a
            fraction of the hue circle in [-0.5, 0.5]. Defaults to 0, no change.
    """

    def __init__(self, brightness: float | Sequence[float] = 0.,
                 contrast: float | Sequence[float] = 0., saturation: float | Sequence[float] = 0.,
                 hue: float | Sequence[float] = 0.) -> None:
        super().__init__(brightness, contrast, saturation, hue, backend='cv2')

    def transform(self, results: dict) -> dict:
        order, *factors = self._rand_params()
        adjust = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
        for position in order:
            if factors[position] is not None:
                results['img'] = adjust[position](results['img'], factors[position])
        return results


@TRANSFORMS.register_module()
class Grayscale(BaseTransform):
    """Replace each pixel by its luma 0.299 R + 0.587 G + 0.114 B, in three channels.

    Required and modified keys: ``img``, (H, W, 3) uint8 RGB.
    """

    def transform(self, results: dict) -> dict:
        results['img'] = _gray(results['img'])
        return results


@TRANSFORMS.register_module()
class GaussianBlur(ShownTransform):
    """Blur with a Gaussian kernel that extends to three standard deviations.

    Required and modified keys: ``img``, (H, W, 3) uint8.

    Args:
        sigma (tuple[float, float]): Smallest and largest standard deviation in pixels, > 0 (else
            ValueError), between which one is drawn uniformly.
    """

    def __init__(self, sigma: tuple[float, float]) -> None:
        if not (isinstance(sigma, (list, tuple)) and len(sigma) == 2 and 0 < sigma[0] <= sigma[1]):
            raise InputError(f'GaussianBlur: sigma={sigma!r} should be two standard deviations in '
                             'pixels, above 0, the smaller one first.')
        self.sigma = (sigma[0], sigma[1])

    def transform(self, results: dict) -> dict:
        results['img'] = cv2.GaussianBlur(results['img'], (0, 0), np.random.uniform(*self.sigma))
        return results


@TRANSFORMS.register_module()
class Solarize(ShownTransform):
    """Invert values of at least ``threshold``, in [0, 256], as torchvision's ``solarize``.

    Required and modified keys: ``img``, uint8.
    """

    def __init__(self, threshold: float = 128) -> None:
        if not 0 <= threshold <= 256:
            raise InputError(f'Solarize: threshold={threshold!r} should be in [0, 256].')
        self.threshold = threshold

    def transform(self, results: dict) -> dict:
        results['img'] = mmcv.solarize(results['img'], self.threshold)
        return results


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Scale the values of an image (H, W, 3) by a factor >= 0."""
    return cv2.LUT(image, _table(factor, 0.))


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Scale the differences from the image's mean luma by a factor >= 0."""
    mean = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
    return cv2.LUT(image, _table(factor, (1 - factor) * mean))


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Scale the differences from each pixel's luma by a factor >= 0."""
    return cv2.addWeighted(image, factor, _gray(image), 1 - factor, 0)


def adjust_hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Rotate the hue by a fraction of the circle in [-0.5, 0.5]."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    # The FULL variants use all 256 values for the hue, so that overflow wraps around the circle.
    hsv[..., 0] += np.uint8(round(shift * 256) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def _table(factor: float, offset: float) -> np.ndarray:
    return np.clip(np.rint(np.arange(256) * factor + offset), 0, 255).astype(np.uint8)


def _gray(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
