"""TSN's classification head for tests on several views per video."""
from typing import Any

from mmaction.models.heads import TSNHead
from torch import Tensor

from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError


@MODELS.register_module()
class MultiViewTSNHead(TSNHead):
    """mmaction2's ``TSNHead``, with a separate consensus for each view.

    The stock head averages over all frames of a video, across views, before the softmax:
    ``average_clips='prob'`` has no effect, and the result is the softmax of the mean logits. Here
    it gives the mean over views of their softmax, as ``Recognizer3D`` does.

    ``Recognizer2D`` must pass the frames view by view, as ``UniformSample(num_clips=K)`` or
    ``SampleFrames(twice_sample=True)`` followed by ``ThreeCrop`` arrange them.

    Args:
        num_segments: Frames per view.
        **kwargs: Passed to ``TSNHead``.
    """

    def __init__(self, *, num_segments: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_segments = num_segments

    def forward(self, x: Tensor, num_segs: int, **kwargs: Any) -> Tensor:
        """Compute the logits of every view, (B * views, num_classes).

        Of features (B * num_segs, C) or (B * num_segs, C, H, W); ``num_segs``, the frames per video
        over all its views, is a multiple of ``num_segments``, else a ValueError is raised.
        """
        if num_segs % self.num_segments:
            raise InputError(
                f'MultiViewTSNHead: {num_segs} frames per video cannot be divided into views of '
                f'num_segments={self.num_segments} frames. Sample as many frames per clip in the '
                'pipeline as the head has segments.')
        return super().forward(x, self.num_segments, **kwargs)
