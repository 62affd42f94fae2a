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

# Without the wrapper of mmcv's cache_randomness, which copies itself at each access.
_DRAW_CROP = vars(RandomResizedCrop)['rand_crop_params'].func


@TRANSFORMS.register_module()
class RandomCropFlip(RandomResizedCrop):
    """Crop every frame at random, resize the crop, and mirror it with some probability.

    Draws, and with the backends of mmpretrain also returns, what ``PerFrame`` does with
    mmpretrain's ``RandomResizedCrop`` and ``RandomFlip``, in less time.

    Required Keys: ``imgs`` (list of (H, W, 3) uint8 arrays).

    Modified Keys: ``imgs`` (list of contiguous (height, width, 3) uint8 arrays), ``img_shape``
    ((height, width)).

    Args:
        scale (int | tuple[int, int]): Side of the result, or height and width, in pixels.
        crop_ratio_range, aspect_ratio_range, max_attempts: As in ``RandomResizedCrop``.
        flip_prob (float): Probability of a horizontal flip, in [0, 1]. Defaults to 0.5.
        share_random_params (bool): Draw the same crop and flip for all frames. Defaults to False.
        interpolation (str): ``'bicubic'`` or ``'bilinear'``; others with ``'cv2'`` and
            ``'pillow'``, as in ``RandomResizedCrop``. Defaults to ``'bicubic'``.
        backend (str): ``'torch'`` and ``'pillow'`` smooth where they shrink, and differ by at most
            a few of 255 levels; ``'cv2'`` does not, and is the fastest for frames that are hardly
            larger than the result. Defaults to ``'torch'``.

    Raises:
        ValueError: An argument is out of range; or, when transforming, ``imgs`` are no such frames.
    """

    def __init__(self, scale: int | Sequence[int], *args: Any, flip_prob: float = 0.5,
                 share_random_params: bool = False, interpolation: str = 'bicubic',
                 backend: str = 'torch', **kwargs: Any) -> None:
        try:
            super().__init__(scale, *args, interpolation=interpolation, backend=backend, **kwargs)
        except AssertionError as error:
            raise InputError(
                f'RandomCropFlip: scale={scale!r} should be a side or (height, width) above 0, '
                f'interpolation={interpolation!r} one of mmpretrain, such as bicubic, and '
                'max_attempts an integer of at least 0.') from error
        if backend not in ('torch', 'cv2', 'pillow'):
            raise InputError(f"RandomCropFlip: backend={backend!r} should be 'torch', 'cv2' or "
                             "'pillow'.")
        if backend == 'torch' and interpolation not in ('bicubic', 'bilinear'):
            raise InputError(f"RandomCropFlip: backend='torch' has no interpolation="
                             f"{interpolation!r}: use 'bicubic' or 'bilinear', or another backend.")
        if not (isinstance(flip_prob, (int, float)) and 0 <= flip_prob <= 1):
            raise InputError(f'RandomCropFlip: flip_prob={flip_prob!r} should be in [0, 1].')
        self.flip_prob = flip_prob
        self.share_random_params = share_random_params
        # How numpy's choice, by which RandomFlip draws, normalises probabilities.
        self._flips_below = flip_prob / (flip_prob + (1 - flip_prob))

    def transform(self, results: dict) -> dict:
        """Crop, resize and flip ``results['imgs']``."""
        imgs = results.get('imgs')
        if not isinstance(imgs, list) or not imgs or not all(
                isinstance(img, np.ndarray) and img.dtype == np.uint8 and img.shape[2:] == (3, )
                for img in imgs):
            raise InputError("RandomCropFlip needs results['imgs'], a list of uint8 frames: put it "
                             'after VideoDecode or LoadImagePair, and before FormatShape.')
        start = get_rng_states() if self.share_random_params else None
        drawn, shape, views = (0, 0, 0, 0, False), None, []
        for img in imgs:
            if start is None or img.shape != shape:
                if start is not None:
                    set_rng_states(start)
                drawn, shape = self._draw(img), img.shape
            top, left, height, width, flip = drawn
            view = self._resize(img[top:top + height, left:left + width])
            views.append(cv2.flip(view, 1) if flip else view)
        results['imgs'], results['img_shape'] = views, views[0].shape[:2]
        return results

    def _draw(self, img: np.ndarray) -> tuple[int, int, int, int, bool]:
        return *_DRAW_CROP(self, img), np.random.random() < self._flips_below

    def _resize(self, crop: np.ndarray) -> np.ndarray:
        if self.backend != 'torch':
            height, width = self.scale
            return mmcv.imresize(crop, (width, height), interpolation=self.interpolation,
                                 backend=self.backend)
        # The copy is numpy's: torch's may start threads, for which a forked process waits forever.
        # A batch before the permutation: only then does torch keep the channels last, in half the
        # time.
        batch = torch.from_numpy(np.ascontiguousarray(crop))[None].permute(0, 3, 1, 2)
        view = interpolate(batch, self.scale, mode=self.interpolation, antialias=True)
        return np.ascontiguousarray(view[0].permute(1, 2, 0).numpy())

    def __repr__(self) -> str:
        return (f'{super().__repr__()[:-1]}, flip_prob={self.flip_prob}, '
                f'share_random_params={self.share_random_params})')
