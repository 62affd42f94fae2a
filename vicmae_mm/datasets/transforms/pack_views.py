"""Packing the views of a test video as the frames that they are cut from."""
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose

from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.structures import Views
from vicmae_mm.utils.errors import InputError

INPUT_FORMATS = ('NCTHW', 'NCHW')


@TRANSFORMS.register_module()
class PackViews(BaseTransform):
    """Pack three crops of each clip of a video as the frames that these have in common.

    Put it after decoding, in place of mmaction2's ``Resize``, ``ThreeCrop``, ``FormatShape`` and
    ``PackActionInputs``; mmaction2's data preprocessors get the same tensor. A frame is resized
    once, however many clips contain it: 7 clips of 16 frames with interval 4 contain 82 distinct
    frames of a video of 10 s at 30 frames per second. The views are cut on the model's device
    (:class:`Views`), so workers send a third of the bytes.

    Required keys: ``frame_inds`` (integers, any shape), ``imgs`` (one (H, W, C) array per index),
    ``clip_len``, and those that ``transforms`` and ``PackActionInputs`` need.

    Added keys: ``inputs`` (:class:`Views`), ``data_samples``.

    Args:
        crop_size (int): Side of the crops, and shorter side of the transformed frames, in pixels.
        transforms (Sequence[dict | Callable]): Applied to each distinct frame before cropping, for
            example ``Resize``. Defaults to none.
        input_format (str): ``'NCTHW'`` for 3-D recognizers, ``'NCHW'`` for 2-D ones.
        meta_keys, algorithm_keys (Sequence[str]): As in ``PackActionInputs``.

    Raises:
        ValueError: ``input_format`` is neither of these; or, when transforming, the number of
            images is not that of the frames, or their shorter side is not ``crop_size``.
    """

    def __init__(self, crop_size: int, transforms: Sequence[dict | Callable[[dict], dict]] = (),
                 input_format: str = 'NCTHW', **kwargs: Any) -> None:
        if input_format not in INPUT_FORMATS:
            raise InputError(f'PackViews: input_format={input_format!r} should be one of '
                             f'{INPUT_FORMATS}.')
        self.transforms = Compose(transforms)
        self.crop_size, self.input_format = crop_size, input_format
        self._crop = TRANSFORMS.build(dict(type='mmaction.ThreeCrop', crop_size=crop_size))
        self._pack = TRANSFORMS.build(dict(type='mmaction.PackActionInputs', **kwargs))

    def transform(self, results: dict) -> dict | None:
        """Return ``inputs`` and ``data_samples``; None if a transform rejects the frames."""
        frame_inds = np.asarray(results['frame_inds']).reshape(-1).tolist()
        _check_count(results['imgs'], len(frame_inds))
        distinct = dict(zip(frame_inds, results['imgs'], strict=True))
        prepared = self.transforms(dict(results, imgs=list(distinct.values())))
        if prepared is None:
            return None
        imgs = prepared['imgs']
        _check_count(imgs, len(distinct))
        height, width = imgs[0].shape[:2]
        if min(height, width) != self.crop_size:
            raise InputError(
                f'PackViews: the shorter side of frames of {width} x {height} is not '
                f'crop_size={self.crop_size}. Let its transforms end with '
                f"dict(type='mmaction.Resize', scale=(-1, {self.crop_size})).")
        position_of = {frame: position for position, frame in enumerate(distinct)}
        # One frame suffices: only the corners of the crops are used, which are the same for all.
        crops = self._crop(dict(prepared, imgs=imgs[:1]))
        clips = torch.tensor([position_of[frame] for frame in frame_inds])
        if self.input_format == 'NCTHW':
            clips = clips.reshape(-1, results['clip_len'])
        packed = self._pack(dict(prepared, imgs=np.stack(imgs), img_shape=crops['img_shape']))
        packed['inputs'] = Views(
            frames=packed['inputs'], clips=clips, size=crops['img_shape'],
            corners=[(x, y) for x, y, *_ in crops['crop_bbox'].tolist()])
        return packed

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(crop_size={self.crop_size}, '
                f'transforms={self.transforms}, input_format={self.input_format!r}, '
                f'pack={self._pack})')


def _check_count(imgs: Sequence[np.ndarray], num_frames: int) -> None:
    if len(imgs) != num_frames:
        raise InputError(
            f'PackViews: there are {len(imgs)} images of {num_frames} frames; expected one image '
            "per frame. For crops other than ThreeCrop's, such as TenCrop's, use mmaction2's "
            'FormatShape and PackActionInputs instead.')
