"""The views of a test, prepared and sent as the frames they are cut from."""
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement

from vicmae_mm.registry import TRANSFORMS

INPUT_FORMATS = ('NCTHW', 'NCHW')


@TRANSFORMS.register_module()
class DistinctFrames(BaseTransform):
    """Keep each of the sampled frames once, however many clips it is in.

    What stands between this and :class:`PackViews` then decodes and resizes it once. Seven clips
    of 16 frames, 4 apart, hold 82 distinct frames of a video of 10 seconds at 30 a second.

    Required keys: ``frame_inds`` (integers of any shape).

    Modified keys: ``frame_inds`` (distinct, in the order in which they first occur).

    Added keys: ``frame_places`` (int64 array: where in them each of the sampled frames is).
    """

    def transform(self, results: dict) -> dict:
        """Make ``results['frame_inds']`` distinct."""
        place_of: dict[int, int] = {}
        places = [place_of.setdefault(frame, len(place_of))
                  for frame in np.asarray(results['frame_inds']).reshape(-1).tolist()]
        results['frame_inds'] = np.array(list(place_of))
        results['frame_places'] = np.array(places)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


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

    For ``ThreeCrop``, ``FormatShape`` and ``PackActionInputs`` of mmaction2, whose data
    preprocessors get the same tensor. It is made on their device (:class:`Views`): workers send
    the frames, for 7 clips of 16 frames, 4 apart, a third of the bytes.

    Required keys: ``imgs`` (HxWxC arrays of one size), ``num_clips``, ``clip_len``,
    ``frame_places`` (of :class:`DistinctFrames`; without it, ``imgs`` are the frames of all clips
    in turn) and what ``PackActionInputs`` packs.

    Args:
        crop_size (int): Side of the crops in pixels; that of the frames' shorter side.
        input_format (str): ``'NCTHW'`` for 3-D recognizers, ``'NCHW'`` for 2-D ones.
            Defaults to 'NCTHW'.
        **kwargs: Those of ``PackActionInputs``, such as ``meta_keys``.

    Raises:
        ValueError: ``input_format`` is neither of them or, when transforming, the shorter side of
            the frames is not ``crop_size``.
    """

    def __init__(self, crop_size: int, input_format: str = 'NCTHW', **kwargs: Any) -> None:
        if input_format not in INPUT_FORMATS:
            raise ValueError(f'PackViews: input_format={input_format!r} is none of '
                             f'{INPUT_FORMATS}.')
        self.crop_size = crop_size
        self.input_format = input_format
        self._crop = TRANSFORMS.build(dict(type='mmaction.ThreeCrop', crop_size=crop_size))
        self._pack = TRANSFORMS.build(dict(type='mmaction.PackActionInputs', **kwargs))

    def transform(self, results: dict) -> dict:
        """Return ``inputs`` (:class:`Views`) and ``data_samples``."""
        imgs = results['imgs']
        height, width = imgs[0].shape[:2]
        if min(height, width) != self.crop_size:
            raise ValueError(
                f'PackViews: the shorter side of frames of {width} x {height} is not '
                f'crop_size={self.crop_size}. Put '
                f"dict(type='mmaction.Resize', scale=(-1, {self.crop_size})) before it.")
        crops = self._crop(dict(results, imgs=imgs[:1]))  # the same of every frame
        clips = torch.as_tensor(results.get('frame_places', np.arange(len(imgs))))
        if self.input_format == 'NCTHW':
            clips = clips.reshape(results['num_clips'], results['clip_len'])
        packed = self._pack(dict(results, imgs=np.stack(imgs), img_shape=crops['img_shape']))
        packed['inputs'] = Views(
            frames=packed['inputs'], clips=clips, size=crops['img_shape'],
            corners=[(x, y) for x, y, *_ in crops['crop_bbox'].tolist()])
        return packed

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(crop_size={self.crop_size}, '
                f'input_format={self.input_format!r}, pack={self._pack})')
