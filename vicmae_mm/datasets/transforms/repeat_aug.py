"""Several clips of a video, opened and decoded once."""
from collections.abc import Callable, Sequence

import numpy as np
from mmcv.transforms import Compose

from vicmae_mm.registry import TRANSFORMS

from .decoding import VideoDecode
from .frame_pair import at_least
from .shown import ShownTransform


@TRANSFORMS.register_module()
class RepeatAug(ShownTransform):
    """Repeated augmentation (Hoffer et al., arXiv 1901.09335): several samples per video.

    Each repeat draws its own frames and augmentation. The video is opened once, and the frames of
    all repeats are decoded together, those that two repeats share only once.

    Put it after ``VideoInit``, in place of the sampling transform, ``VideoDecode`` and all that
    follows. It turns a sample into a **list** of samples: the data loader needs mmaction2's
    ``collate_fn=dict(type='repeat_pseudo_collate')``, and its batches contain
    ``batch_size * num_repeats`` clips. (mmaction2's ``RepeatAugDataset`` does the same, but only
    for pipelines of its ``DecordInit`` and ``DecordDecode``.)

    Required keys: ``video_reader``, ``total_frames`` and those that ``sample_frames`` needs.

    Args:
        sample_frames (dict | Callable): Transform that sets ``frame_inds``, such as mmaction2's
            ``SampleFrames``.
        transforms (Sequence[dict | Callable]): Applied to the frames of each repeat.
        num_repeats (int): Samples per video, >= 1. Defaults to 2.

    Raises:
        ValueError: ``num_repeats`` is not an integer of at least 1.
        VideoError: A frame does not decode (when transforming).
    """

    def __init__(self, sample_frames: dict | Callable[[dict], dict],
                 transforms: Sequence[dict | Callable[[dict], dict]], num_repeats: int = 2) -> None:
        self.sample_frames = Compose([sample_frames])
        self.transforms = Compose(transforms)
        self.num_repeats = at_least('RepeatAug', 1, num_repeats=num_repeats)
        self._decode = VideoDecode()

    def transform(self, results: dict) -> list[dict] | None:
        """Return ``num_repeats`` samples; None if a transform rejects one."""
        clips = [self.sample_frames(dict(results)) for _ in range(self.num_repeats)]
        frame_inds_of_clips = [np.asarray(clip['frame_inds']).reshape(-1) for clip in clips]
        decoded = self._decode(dict(results, frame_inds=np.concatenate(frame_inds_of_clips)))
        imgs = iter(decoded['imgs'])
        changed = {name: decoded[name] for name in (
            'video_reader', 'original_shape', 'img_shape', 'gt_bboxes', 'proposals')
            if name in decoded}
        samples = []
        for clip, frame_inds in zip(clips, frame_inds_of_clips, strict=True):
            clip.update(changed, frame_inds=frame_inds, imgs=[next(imgs) for _ in frame_inds])
            sample = self.transforms(clip)
            if sample is None:
                return None
            samples.append(sample)
        return samples
