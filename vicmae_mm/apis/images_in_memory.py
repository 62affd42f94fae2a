"""Images that are already in memory: of Pillow, NumPy and torch."""
from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from vicmae_mm.datasets.readers.image_or_video import decode_image
from vicmae_mm.utils.errors import InputError


def is_one_image(value: Any) -> bool:
    """Whether it is an image; an array of paths, or a stack of images, is not."""
    return isinstance(value, Image.Image) or (
        isinstance(value, (np.ndarray, Tensor)) and value.ndim < 4
        and _dtype(value)[:3] not in ('obj', 'str'))


def image_pixels(image: Image.Image | np.ndarray | Tensor) -> np.ndarray:
    """Pixels, uint8 (H, W, 3) RGB.

    Args:
        image: An image of Pillow, or an array or tensor, uint8 or uint16, (H, W), (H, W, C) or
            (C, H, W); the C channels are grey, grey and alpha, RGB, or RGBA.

    Raises:
        ValueError: If it cannot be decoded, the range of its values is not known, or it is not
            clear which axis has the channels.
    """
    if isinstance(image, Image.Image):
        return decode_image(image)
    shape, dtype = tuple(image.shape), _dtype(image)
    if dtype not in ('uint8', 'uint16'):
        raise InputError(f'the range of {dtype} pixels is not known: convert them to uint8, 0 to '
                         '255; those of 0 to 1 by (255 * image).round()')
    axes = [axis for axis in (0, 2) if len(shape) == 3 and 1 <= shape[axis] <= 4]
    if 0 in shape or not (len(shape) == 2 or len(axes) == 1):
        which = '; here either axis could be the channels' * (len(axes) == 2)
        raise InputError(f'the image has shape {shape}: expected (H, W), (H, W, C) or (C, H, W), '
                         f'with 1 to 4 channels{which}')
    array = np.asarray(image.cpu() if isinstance(image, Tensor) else image)
    if dtype == 'uint16':
        array = (array // 256).astype(np.uint8)
    array = np.moveaxis(array, axes[0], 2) if axes else array
    grey = array.ndim == 3 and array.shape[2] == 1
    return decode_image(Image.fromarray(np.ascontiguousarray(array[..., 0] if grey else array)))


def _dtype(array: np.ndarray | Tensor) -> str:
    return (array.dtype.name if isinstance(array, np.ndarray) else
            str(array.dtype).removeprefix('torch.'))
