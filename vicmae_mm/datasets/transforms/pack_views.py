"""Pack the views of a test video as the frames they are cut from."""
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
    """Pack a video's clips with three crops each, as the frames that these have in common.

    It stands after decoding, in the place of all that follows in mmaction2: ``Resize``,
    ``ThreeCrop``, ``FormatShape`` and ``PackActionInputs``. Its data preprocessors get the same
    tensor. A frame is resized once, however many clips it is in: 7 clips of 16 frames, 4 apart,
    hold 82 distinct ones of a video of 10 seconds at 30 a second. Views are cut on the model's
    device (:class:`Views`): workers send the frames, a third of the bytes.

    Required keys: ``frame_inds`` (integers of any shape), ``imgs`` (an HxWxC array of each),
    ``clip_len``, and what ``transforms`` and ``PackActionInputs`` need.

    Args:
        crop_size (int): Side of the crops in pixels; that of the shorter side of the frames.
        transforms (Sequence[dict | Callable]): What is done to each distinct frame before, such
            as ``Resize``. Defaults to nothing.
        input_format (str): ``'NCTHW'`` for 3-D recognizers, ``'NCHW'`` for 2-D ones.
            Defaults to 'NCTHW'.
        meta_keys, algorithm_keys (Sequence[str]): As in ``PackActionInputs``.

    Raises:
        ValueError: ``input_format`` is neither of them or, when transforming, there are more or
            fewer images than frames, or the shorter side of these is not ``crop_size``.
    """

    def __init__(self,
                 crop_size: int,
                 transforms: Sequence[dict | Callable[[dict], dict]] = (),
                 input_format: str = 'NCTHW',
                 **kwargs: Any) -> None:
        if input_format not in INPUT_FORMATS:
            raise InputError(f'PackViews: input_format={input_format!r} is none of '
                             f'{INPUT_FORMATS}.')
        self.transforms = Compose(transforms)
        self.crop_size = crop_size
        self.input_format = input_format
        self._crop = TRANSFORMS.build(dict(type='mmaction.ThreeCrop', crop_size=crop_size))
        self._pack = TRANSFORMS.build(dict(type='mmaction.PackActionInputs', **kwargs))

    def transform(self, results: dict) -> dict | None:
        """Return ``inputs`` (:class:`Views`) and ``data_samples``; None if a transform does."""
        frame_inds = np.asarray(results['frame_inds']).reshape(-1).tolist()
        _check_count(results['imgs'], len(frame_inds))
        distinct = dict(zip(frame_inds, results['imgs'], strict=True))
        prepared = self.transforms(dict(results, imgs=list(distinct.values())))
        if prepared is None:
            return None
        imgs = prepared['imgs']
        _check_count(imgs, len(distinct))
        self._check_size(imgs[0])
        place_of = {frame: place for place, frame in enumerate(distinct)}
        crops = self._crop(dict(prepared, imgs=imgs[:1]))  # the same of every frame
        clips = torch.tensor([place_of[frame] for frame in frame_inds])
        if self.input_format == 'NCTHW':
            clips = clips.reshape(-1, results['clip_len'])
        packed = self._pack(dict(prepared, imgs=np.stack(imgs), img_shape=crops['img_shape']))
        packed['inputs'] = Views(
            frames=packed['inputs'], clips=clips, size=crops['img_shape'],
            corners=[(x, y) for x, y, *_ in crops['crop_bbox'].tolist()])
        return packed

    def _check_size(self, img: np.ndarray) -> None:
        height, width = img.shape[:2]
        if min(height, width) != self.crop_size:
            raise InputError(
                f'PackViews: the shorter side of frames of {width} x {height} is not '
                f'crop_size={self.crop_size}. Let its transforms end with '
                f"dict(type='mmaction.Resize', scale=(-1, {self.crop_size})).")

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(crop_size={self.crop_size}, '
                f'transforms={self.transforms}, input_format={self.input_format!r}, '
                f'pack={self._pack})')


def _check_count(imgs: Sequence[np.ndarray], num_frames: int) -> None:
    if len(imgs) != num_frames:
        raise InputError(
            f'PackViews: there are {len(imgs)} images of {num_frames} frames, where each frame '
            "should stay one. For other crops than three, as TenCrop's, put mmaction2's "
            'FormatShape and PackActionInputs in its place.')
