"""Cropping, resizing and flipping frames at random in one step."""
from collections.abc import Sequence
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from mmpretrain.datasets.transforms import RandomResizedCrop
from torch.nn.functional import interpolate

from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.seeding import get_rng_states, set_rng_states

_ALL = ('bicubic', 'bilinear', 'nearest', 'lanczos')
FILTERS = dict(torch=_ALL[:2], cv2=(*_ALL, 'area'), pillow=_ALL)
# Without the wrapper of mmcv's cache_randomness, which copies itself at each access.
_draw_crop = vars(RandomResizedCrop)['rand_crop_params'].func


@TRANSFORMS.register_module()
class RandomCropFlip(RandomResizedCrop):
    """Crop every frame at random, resize the crop, and mirror it with some probability.

    Draws, and with the backends of mmpretrain returns, what ``PerFrame`` does with mmpretrain's
    ``RandomResizedCrop`` and ``RandomFlip``, in less time.

    Modified Keys: ``imgs`` (list of (H, W, 3) uint8 arrays), ``img_shape`` ((height, width)).

    Args:
        scale (int | tuple[int, int]): Side of the result, or height and width, in pixels.
        crop_ratio_range, aspect_ratio_range, max_attempts: As in ``RandomResizedCrop``.
        flip_prob (float): Probability of a horizontal flip, in [0, 1]. Defaults to 0.5.
        share_random_params (bool): Draw the same crop and flip for all frames.
        interpolation (str): One of the backend's :data:`FILTERS`. Defaults to ``'bicubic'``.
        backend (str): ``'torch'`` and ``'pillow'`` smooth where they shrink, and differ by rounding
            (docs/decisions.md, row 60); ``'cv2'`` does not, and is the fastest.

    Raises:
        ValueError: An argument is out of range; or, when transforming, ``imgs`` are no such frames.
    """

    def __init__(self, scale: int | Sequence[int], *args: Any, flip_prob: float = 0.5,
                 share_random_params: bool = False, interpolation: str = 'bicubic',
                 backend: str = 'torch', **kwargs: Any) -> None:
        sides = scale if isinstance(scale, (list, tuple)) else [scale] * 2
        filters = FILTERS.get(str(backend), ())
        if not (len(sides) == 2 and all(type(side) is int and side > 0 for side in sides)
                and type(flip_prob) in (int, float) and 0 <= flip_prob <= 1
                and interpolation in filters):
            raise InputError(
                f'RandomCropFlip: scale={scale!r} should be a side or (height, width) above 0, '
                f'flip_prob={flip_prob!r} a number in [0, 1], backend={backend!r} one of '
                f'{[*FILTERS]}, interpolation={interpolation!r} one of its {[*filters]}.')
        super().__init__(scale, *args, interpolation=interpolation, backend=backend, **kwargs)
        if not (self.crop_ratio_range[0] >= 0 < self.aspect_ratio_range[0]):
            raise InputError(f'RandomCropFlip: crop_ratio_range={self.crop_ratio_range!r} should '
                             f'begin with 0 or more, aspect_ratio_range={self.aspect_ratio_range!r}'
                             ' above 0.')
        self.share_random_params = share_random_params
        # How numpy's choice, by which RandomFlip draws, normalises probabilities.
        self.flip_prob = flip_prob / (flip_prob + (1 - flip_prob))

    def transform(self, results: dict) -> dict:
        imgs = results.get('imgs')
        if not isinstance(imgs, list) or not imgs or not all(
                getattr(img, 'dtype', '') == np.uint8 and img.shape[2:] == (3, ) for img in imgs):
            raise InputError("RandomCropFlip needs results['imgs'], a list of uint8 frames: put it "
                             'after VideoDecode or LoadImagePair, and before FormatShape.')
        start = get_rng_states() if self.share_random_params else None
        shape, views = None, []
        for img in imgs:
            if start is None or img.shape != shape:
                if start is not None:
                    set_rng_states(start)
                shape = img.shape
                top, left, height, width = _draw_crop(self, img)
                flip = np.random.random() < self.flip_prob
            view = self._resize(img[top:top + height, left:left + width])
            views.append(cv2.flip(view, 1) if flip else view)
        results['imgs'], results['img_shape'] = views, views[0].shape[:2]
        return results

    def _resize(self, crop: np.ndarray) -> np.ndarray:
        if self.backend != 'torch':
            return mmcv.imresize(crop, tuple(self.scale[::-1]), interpolation=self.interpolation,
                                 backend=self.backend)
        # The copy is numpy's: torch's may start threads, for which a forked process waits forever.
        # If the batch precedes the permutation, torch keeps the channels last: half the time.
        batch = torch.from_numpy(np.ascontiguousarray(crop))[None].permute(0, 3, 1, 2)
        view = interpolate(batch, self.scale, mode=self.interpolation, antialias=True)
        return np.ascontiguousarray(view[0].permute(1, 2, 0).numpy())
