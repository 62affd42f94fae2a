"""Packing samples as tensors: frames to train on, or the views of a test video."""
import os
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from mmpretrain.datasets.transforms import PackInputs

from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.structures import Views
from vicmae_mm.utils.errors import InputError

INPUT_FORMATS = ('NCTHW', 'NCHW')


@TRANSFORMS.register_module()
class PackFrames(PackInputs):
    """mmpretrain's ``PackInputs``, in a third of the time for uint8 images; adds a ``video_id``.

    Clips are views too: the array of mmaction2's ``FormatShape(input_format='NCTHW')`` is packed as
    a list with one tensor per clip.

    Required Keys: ``imgs`` (list of (H, W, C) arrays, or an array (clips, C, T, H, W)), and
    optionally ``filename`` and the keys to pack along.

    Added Keys: ``inputs`` (list of (C, H, W) or (C, T, H, W) tensors), ``data_samples``,
    with the :func:`video_id` of ``filename``, which the segments of a video share.

    Args:
        input_key (str): Key of the images. Defaults to 'imgs'.
        algorithm_keys, meta_keys (Sequence[str]): As in ``PackInputs``.
    """

    def __init__(self, input_key: str = 'imgs', **kwargs: Any) -> None:
        super().__init__(input_key, **kwargs)

    def transform(self, results: dict) -> dict:
        packed = super().transform(results)
        if filename := results.get('filename'):
            packed['data_samples'].set_metainfo(dict(video_id=video_id(filename)))
        return packed

    @staticmethod
    def format_input(input_: Any) -> Any:
        """Convert (H, W, C) uint8 arrays, lists of them, and clips; all else as ``PackInputs``."""
        if isinstance(input_, list):
            return [PackFrames.format_input(item) for item in input_]
        if isinstance(input_, np.ndarray) and input_.dtype == np.uint8 and input_.ndim == 3:
            # (C, H, W), faster than by copying the transposed array
            planes = np.empty((input_.shape[2], *input_.shape[:2]), np.uint8)
            cv2.split(np.ascontiguousarray(input_), list(planes))
            return torch.from_numpy(planes)
        if isinstance(input_, np.ndarray) and input_.ndim == 5:
            return list(torch.from_numpy(np.ascontiguousarray(input_)))
        return PackInputs.format_input(input_)


def video_id(filename: str) -> int:
    """A number below 2**63 for a file, the same in every process."""
    path = os.fsencode(os.path.abspath(filename))
    return int.from_bytes(blake2b(path, digest_size=8).digest(), 'big') >> 1


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
