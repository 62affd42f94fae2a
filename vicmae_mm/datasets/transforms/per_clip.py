"""Applying transforms to each clip of a video sample."""
from collections.abc import Callable, Sequence

from mmcv.transforms import BaseTransform, Compose

from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError

from .per_frame import check_positions


@TRANSFORMS.register_module()
class PerClip(BaseTransform):
    """Apply transforms to every clip, each with its own randomness.

    A clip passes through them as a sample with these frames alone. Transforms of mmaction2 draw one
    crop for all frames of a sample, and so does ``PerFrame(share_random_params=True)`` with
    transforms of mmpretrain.

    Required Keys: ``imgs`` (list of (H, W, C) arrays, clip by clip), ``num_clips``, ``clip_len``.

    Modified Keys: ``imgs``; all other keys are as the transforms leave them for the first clip.

    Args:
        transforms (Sequence[dict | Callable]): Transforms of samples, which leave ``imgs`` a list.
        clips (Sequence[int], optional): Positions within the pair to transform; other clips stay
            unchanged. ``[1]`` is the second clip of every pair. Defaults to None, all clips.

    Raises:
        ValueError: ``clips`` is empty or contains anything but 0 and 1; or, when transforming,
            ``imgs`` does not consist of such clips.
    """

    def __init__(self, transforms: Sequence[dict | Callable[[dict], dict]],
                 clips: Sequence[int] | None = None) -> None:
        self.transforms = Compose(transforms)
        self.clips = check_positions(clips, type(self).__name__, 'clip')

    def transform(self, results: dict) -> dict | None:
        """Transform the chosen clips; None if a transform rejects one."""
        imgs, length = results.get('imgs'), results.get('clip_len', 0)
        if not isinstance(imgs, list) or len(imgs) != length * results.get('num_clips', 0):
            raise InputError("PerClip needs results['imgs'], a list of clip_len * num_clips "
                             'frames: put it between VideoDecode and FormatShape, with '
                             'SampleClipPair before them.')
        first, frames = None, []
        for position in range(results['num_clips']):
            clip = dict(results, imgs=imgs[position * length:(position + 1) * length], num_clips=1)
            if position % 2 in self.clips:
                clip = self.transforms(clip)
            if clip is None:
                return None
            if not isinstance(clip['imgs'], list):
                raise InputError('PerClip: its transforms must leave a list of frames, but '
                                 f"'imgs' became a {type(clip['imgs']).__name__}: put FormatShape "
                                 'after PerClip.')
            frames += clip['imgs']
            first = first or clip
        return dict(first or results, imgs=frames, num_clips=results['num_clips'])

    def __repr__(self) -> str:
        return f'{type(self).__name__}(transforms={self.transforms}, clips={self.clips})'
