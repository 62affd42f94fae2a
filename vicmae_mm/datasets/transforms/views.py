"""The views of a test, prepared and sent as the frames they are cut from."""
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from mmengine.structures import BaseDataElement

from vicmae_mm.registry import TRANSFORMS

INPUT_FORMATS = ('NCTHW', 'NCHW')


class Views(BaseDataElement):
    """Crops of clips, which become a tensor on the device that needs them.

    It stands for a sample's ``inputs`` from the worker to the data preprocessor. Any of mmengine's
    calls :meth:`to` and so gets the tensor; ``vicmae_mm.ViewsDataPreprocessor`` normalises the
    frames before they are cut.

    Attributes:
        frames (Tensor): The frames, each once (D, H, W, C).
        clips (Tensor): Places in them, int64 (clips, T), or all clips in a row (clips * T,).
        corners (list[tuple[int, int]]): x and y of each crop's upper left pixel.
        size (tuple[int, int]): Height h and width w of the crops, in pixels.
    """

    frames: torch.Tensor
    clips: torch.Tensor
    corners: list[tuple[int, int]]
    size: tuple[int, int]

    def to(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Move the frames as ``Tensor.to`` would, and cut the views there."""
        return self.cut(self.frames.to(*args, **kwargs))

    def cut(self, frames: torch.Tensor) -> torch.Tensor:
        """Cut the views out of ``frames``, or of what was made of them on another device.

        Returns:
            Tensor: (crops * clips, C, T, h, w), or (crops * clips * T, C, h, w) of clips in a
            row. The first crop of every clip comes first. Channels lie last in memory, as after
            mmaction2's ``FormatShape``.
        """
        clips = self.clips.to(frames.device)
        height, width = self.size
        views = frames.new_empty(len(self.corners), clips.numel(), height, width, frames.shape[-1])
        for view, (x, y) in zip(views, self.corners, strict=True):
            crop = frames[:, y:y + height, x:x + width]
            torch.index_select(crop, 0, clips.flatten(), out=view)
        return views.unflatten(1, clips.shape).flatten(0, 1).movedim(-1, 1)


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
            raise ValueError(f'PackViews: input_format={input_format!r} is none of '
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
            raise ValueError(
                f'PackViews: the shorter side of frames of {width} x {height} is not '
                f'crop_size={self.crop_size}. Let its transforms end with '
                f"dict(type='mmaction.Resize', scale=(-1, {self.crop_size})).")

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(crop_size={self.crop_size}, '
                f'transforms={self.transforms}, input_format={self.input_format!r}, '
                f'pack={self._pack})')


def _check_count(imgs: Sequence[np.ndarray], num_frames: int) -> None:
    if len(imgs) != num_frames:
        raise ValueError(
            f'PackViews: there are {len(imgs)} images of {num_frames} frames, where each frame '
            "should stay one. For other crops than three, as TenCrop's, put mmaction2's "
            'FormatShape and PackActionInputs in its place.')
