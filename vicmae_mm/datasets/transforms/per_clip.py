"""Applying transforms to each clip of a video sample."""
from collections.abc import Callable, Sequence

from mmcv.transforms import Compose

from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError

from .shown import ShownTransform


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
