"""Applying transforms to each frame, or to each clip, of a video sample."""
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from mmcv.transforms import Compose

from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.seeding import get_rng_states, set_rng_states

from .shown import ShownTransform


@TRANSFORMS.register_module()
class PerFrame(ShownTransform):
    """Apply image transforms to every frame, each with its own randomness.

    A frame passes through them as ``{'img', 'img_shape', 'ori_shape'}``, so that transforms of
    mmpretrain, mmcv and (wrapped by mmpretrain) torchvision work unchanged. Types without a scope
    are looked up in the default scope.

    Required Keys: ``imgs`` (list of (H, W, C) uint8 arrays).

    Modified Keys: ``imgs`` (list of the resulting ``img``), ``img_shape`` ((height, width) of the
    first frame, if that is an array).

    Args:
        transforms (Sequence[dict | Callable]): Image transforms.
        share_random_params (bool): Draw the same crop, flip and colours for all frames.
        frames (Sequence[int], optional): Positions within the pair to transform; other frames
            stay unchanged. ``[1]`` is the second frame of every pair (Table 6 changes the colours
            of the target frame only). Defaults to None, all frames.
        rgb_to_bgr (bool): Show frames to the transforms in the order blue, green, red, which
            mmcv's and mmpretrain's colour operations expect (of ``RandAugment``: Color and
            Contrast, which weight the channels, and ``pad_val``). Decoded videos are RGB.

    Raises:
        ValueError: ``frames`` is empty or contains anything but 0 and 1.
    """

    def __init__(self, transforms: Sequence[dict | Callable[[dict], dict]],
                 share_random_params: bool = False, frames: Sequence[int] | None = None,
                 rgb_to_bgr: bool = False) -> None:
        self.transforms = Compose(transforms)
        self.share_random_params = share_random_params
        self.frames = check_positions(frames, type(self).__name__)
        self.rgb_to_bgr = rgb_to_bgr

    def transform(self, results: dict) -> dict | None:
        """Transform the chosen frames; None if a transform rejects one."""
        if 'imgs' not in results:
            raise InputError("PerFrame needs results['imgs'], a list of frames: "
                             'put it after VideoDecode or LoadImagePair.')
        if len(self.frames) == 1 and results.get('clip_len', 2) > 2:
            raise InputError(f'PerFrame: frames={list(self.frames)} selects from pairs of frames, '
                             f'but these are clips of {results["clip_len"]} frames: leave it out.')
        imgs = list(results['imgs'])
        # Restoring the generators' states works with any transform. mmcv's cache_random_params only
        # knows decorated methods, and refuses mmpretrain's RandomResizedCrop.
        start = get_rng_states() if self.share_random_params else None
        for position, img in enumerate(imgs):
            if position % 2 not in self.frames:
                continue
            if start is not None:
                set_rng_states(start)
            shape = img.shape[:2]
            img = cv2.cvtColor(img, cv2.COLOR_RGB2BGR) if self.rgb_to_bgr else img
            frame = self.transforms(dict(img=img, img_shape=shape, ori_shape=shape))
            if frame is None:
                return None
            img = frame['img']
            imgs[position] = cv2.cvtColor(img, cv2.COLOR_BGR2RGB) if self.rgb_to_bgr else img
        results['imgs'] = imgs
        if isinstance(imgs[0], np.ndarray):
            results['img_shape'] = imgs[0].shape[:2]
        return results


def check_positions(frames: Sequence[int] | None, owner: str) -> tuple[int, ...]:
    """Check the argument ``frames`` of a transform ``owner``; None means both positions."""
    if frames is None:
        return 0, 1
    if not frames or not set(frames) <= {0, 1}:
        raise InputError(f'{owner}: frames={frames!r} should list positions within the pair: [0] '
                         'for the first frame, [1] for the second. Leave it out to transform both.')
    return tuple(frames)


@TRANSFORMS.register_module()
class PerClip(ShownTransform):
    """Apply transforms to every clip, each with its own randomness.

    They get a sample with the frames of one clip. Transforms of mmaction2 draw one crop for all
    frames of a sample, and so does ``PerFrame(share_random_params=True)`` with those of mmpretrain.

    Required Keys: ``imgs`` (list of (H, W, C) arrays, clip by clip), ``num_clips``, ``clip_len``.

    Modified Keys: ``imgs``; all other keys are as the transforms leave them for the first clip.

    Args:
        transforms (Sequence[dict | Callable]): Transforms of samples, which leave ``imgs`` a list.

    Raises:
        ValueError: ``imgs`` is not a list of such clips, before or after (when transforming).
    """

    def __init__(self, transforms: Sequence[dict | Callable[[dict], dict]]) -> None:
        self.transforms = Compose(transforms)

    def transform(self, results: dict) -> dict | None:
        """Transform every clip; None if a transform rejects one."""
        imgs, length, number = (results.get(key) for key in ('imgs', 'clip_len', 'num_clips'))
        if not isinstance(imgs, list) or not length or len(imgs) != length * (number or 0):
            raise InputError("PerClip needs results['imgs'], a list of clip_len * num_clips "
                             'frames: put it between VideoDecode and FormatShape, with '
                             'SampleClipPair before them.')
        clips = []
        for begin in range(0, len(imgs), length):
            clip = self.transforms(dict(results, imgs=imgs[begin:begin + length], num_clips=1))
            if clip is None:
                return None
            if not isinstance(clip['imgs'], list):
                raise InputError('PerClip: its transforms must leave a list of frames: put '
                                 'FormatShape after PerClip.')
            clips.append(clip)
        return dict(clips[0], imgs=[img for clip in clips for img in clip['imgs']],
                    num_clips=number)
