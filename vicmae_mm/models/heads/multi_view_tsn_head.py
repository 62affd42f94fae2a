"""TSN's classification head, for tests on several views of a video."""
from typing import Any

from mmaction.models.heads import TSNHead
from torch import Tensor

from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError


@MODELS.register_module()
class MultiViewTSNHead(TSNHead):
    """mmaction2's ``TSNHead``, with a consensus over the segments of each view.

    The stock head takes its consensus over all frames of a video, those of other views
    included, so that ``average_clips='prob'`` comes too late and the result is the softmax of
    the views' mean. Here ``average_clips='prob'`` gives the mean over the views of their softmax,
    as ``Recognizer3D`` does; with one view both are the same.

    ``Recognizer2D`` must pass the frames view by view, as ``UniformSample(num_clips=K)`` or
    ``SampleFrames(twice_sample=True)`` before ``ThreeCrop`` leave them.

    Args:
        num_segments (int): Frames of a view.
        **kwargs: Those of ``TSNHead``.
    """

    def __init__(self, *, num_segments: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_segments = num_segments

    def forward(self, x: Tensor, num_segs: int, **kwargs: Any) -> Tensor:
        """Logits of every view.

        Args:
            x: Features of the frames, (B * num_segs, C) or (B * num_segs, C, H, W).
            num_segs: Frames of a video over all its views.

        Returns:
            (B * views, num_classes).

        Raises:
            ValueError: If the frames of a video don't make whole views.
        """
        if num_segs % self.num_segments:
            raise InputError(
                f'MultiViewTSNHead: {num_segs} frames of a video make no whole views of '
                f'num_segments={self.num_segments}. Sample as many frames a clip in the pipeline '
                'as the head has segments.')
        return super().forward(x, self.num_segments, **kwargs)
