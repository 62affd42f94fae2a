"""Colour augmentation of RGB bytes with OpenCV, as torchvision defines it.

mmpretrain's and mmcv's do the same in floating point or through pillow, several times slower, and
take an image's channels for blue, green, red, which decoded videos don't have. Probabilities are
the business of ``mmengine.RandomApply``.
"""
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.datasets.transforms import ColorJitter as StockColorJitter

from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError


@TRANSFORMS.register_module()
class ColorJitter(StockColorJitter):
    """Brightness, contrast, saturation and hue, each by a random factor, in a random order.

    torchvision's ``ColorJitter`` to within a level; hue, in bytes as pillow's, to within one on
    average.

    Required and modified keys: ``img``, (H, W, 3) uint8 RGB.

    Args:
        brightness, contrast, saturation (float | Sequence[float]): Factors are drawn from
            [max(0, 1 - x), 1 + x], or from [min, max] >= 0. Default to 0, nothing.
        hue (float | Sequence[float]): The shift is drawn from [-x, x], or from [min, max], in
            circles within [-0.5, 0.5]. Defaults to 0.
    """

    def __init__(self, brightness: float | Sequence[float] = 0.,
                 contrast: float | Sequence[float] = 0.,
                 saturation: float | Sequence[float] = 0.,
                 hue: float | Sequence[float] = 0.) -> None:
        super().__init__(brightness, contrast, saturation, hue, backend='cv2')

    def transform(self, results: dict) -> dict:
        """Change ``results['img']``."""
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
        """Change ``results['img']``."""
        results['img'] = _gray(results['img'])
        return results


@TRANSFORMS.register_module()
class GaussianBlur(BaseTransform):
    """Blur with a Gaussian kernel that reaches to three standard deviations.

    Required and modified keys: ``img``, (H, W, 3) uint8.

    Args:
        sigma (tuple[float, float]): Smallest and largest standard deviation in pixels, > 0, of
            which one is drawn uniformly.

    Raises:
        ValueError: If they are not.
    """

    def __init__(self, sigma: tuple[float, float]) -> None:
        low, high = sigma
        if not 0 < low <= high:
            raise InputError(f'GaussianBlur: sigma={sigma!r} should be two standard deviations in '
                             'pixels above 0, the smaller one first.')
        self.sigma = (low, high)

    def transform(self, results: dict) -> dict:
        """Change ``results['img']``."""
        results['img'] = cv2.GaussianBlur(results['img'], (0, 0), np.random.uniform(*self.sigma))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(sigma={self.sigma})'


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Scale the bytes (H, W, 3) of an image by a factor >= 0."""
    return cv2.LUT(image, _table(factor, 0.))


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Scale their distance from the image's mean luma by a factor >= 0."""
    mean = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
    return cv2.LUT(image, _table(factor, (1 - factor) * mean))


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Scale their distance from the pixel's luma by a factor >= 0."""
    return cv2.addWeighted(image, factor, _gray(image), 1 - factor, 0)


def adjust_hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Turn the hue by a share of the circle in [-0.5, 0.5]."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(round(shift * 256) % 256)  # bytes wrap, as the circle does
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def _table(factor: float, offset: float) -> np.ndarray:
    return np.clip(np.rint(np.arange(256) * factor + offset), 0, 255).astype(np.uint8)


def _gray(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
