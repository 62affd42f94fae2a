"""Several clips of a video from one opening and one decode."""
from collections.abc import Callable, Sequence

import numpy as np
from mmcv.transforms import BaseTransform, Compose

from vicmae_mm.registry import TRANSFORMS
from vicmae_mm.utils.errors import InputError

from .decoding import VideoDecode


@TRANSFORMS.register_module()
class RepeatAug(BaseTransform):
    """Repeated augmentation (Hoffer et al., arXiv 1901.09335): a video gives several samples.

    Each repeat draws its own frames and its own augmentation. The video is opened once, and
    the frames of all repeats are decoded together: one that two of them need, once.

    It stands after ``VideoInit``, in the place of a sampling transform, ``VideoDecode`` and all
    that follows, and turns a sample into a **list** of samples: the data loader needs
    ``collate_fn=dict(type='repeat_pseudo_collate')`` of mmaction2, and its batches hold
    ``batch_size * num_repeats`` clips.

    mmaction2's ``RepeatAugDataset`` does the same for a pipeline of its ``DecordInit`` and
    ``DecordDecode`` alone.

    Required keys: ``video_reader``, ``total_frames`` and what ``sample_frames`` needs.

    Args:
        sample_frames (dict | Callable): Transform that sets ``frame_inds``, such as mmaction2's
            ``SampleFrames``.
        transforms (Sequence[dict | Callable]): What is done to each repeat's frames.
        num_repeats (int): Samples a video, >= 1. Defaults to 2.

    Raises:
        ValueError: ``num_repeats`` is no integer of at least 1.
        VideoError: A frame does not decode (when transforming).
    """

    def __init__(self,
                 sample_frames: dict | Callable[[dict], dict],
                 transforms: Sequence[dict | Callable[[dict], dict]],
                 num_repeats: int = 2) -> None:
        if not isinstance(num_repeats, int) or num_repeats < 1:
            raise InputError(
                f'RepeatAug: num_repeats={num_repeats!r} should be an integer of at least 1.')
        self.sample_frames = Compose([sample_frames])
        self.transforms = Compose(transforms)
        self.num_repeats = num_repeats
        self._decode = VideoDecode()

    def transform(self, results: dict) -> list[dict] | None:
        """The samples of ``num_repeats`` clips; None when a transform rejects one."""
        clips = [self.sample_frames(dict(results)) for _ in range(self.num_repeats)]
        wanted = [np.asarray(clip['frame_inds']).reshape(-1) for clip in clips]
        decoded = self._decode(dict(results, frame_inds=np.concatenate(wanted)))
        shape, imgs = decoded['img_shape'], iter(decoded['imgs'])
        samples = []
        for clip, frame_inds in zip(clips, wanted, strict=True):
            clip.update(
                frame_inds=frame_inds, imgs=[next(imgs) for _ in frame_inds], video_reader=None,
                original_shape=shape, img_shape=shape)
            sample = self.transforms(clip)
            if sample is None:
                return None
            samples.append(sample)
        return samples

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(sample_frames={self.sample_frames}, '
                f'transforms={self.transforms}, num_repeats={self.num_repeats})')
