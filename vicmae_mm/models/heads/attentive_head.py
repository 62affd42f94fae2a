"""V-JEPA's attentive probe as a head of mmaction2's recognizers."""
from typing import Any

from mmaction.models.heads import BaseHead
from torch import Tensor, nn

from vicmae_mm.models.necks import AttentivePooling
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError


@MODELS.register_module()
class AttentiveHead(BaseHead):
    """:class:`AttentivePooling` over all clips of a view, and a linear classifier.

    For ``Recognizer3D``, and ``Recognizer2D``, where the frames of a view are its clips.
    ``average_clips`` averages views. ``ImageClassifier`` takes the pooling and ``LinearClsHead``.

    Args:
        num_heads: Attention heads.
        num_clips: Clips per view, which are consecutive after ``PackViews`` and ``ThreeCrop``.
        **kwargs: Passed to mmaction2's ``BaseHead``: ``num_classes``, ``in_channels``, ...
    """

    def __init__(self, *, num_heads: int, num_clips: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pooling = AttentivePooling(self.in_channels, num_heads, num_clips)
        self.fc_cls = nn.Linear(self.in_channels, self.num_classes)  # torch's initial weights

    def forward(self, x: Tensor | tuple[Tensor, ...], **kwargs: Any) -> Tensor:
        """Compute the logits of every view, (B * views, num_classes)."""
        return self.fc_cls(*self.pooling(x))

    def loss_by_feat(self, cls_scores: Tensor, data_samples: list) -> dict:
        """Compute the loss of one view per sample; a ValueError for any other number of clips."""
        self._check(len(cls_scores) == len(data_samples), cls_scores, data_samples)
        return super().loss_by_feat(cls_scores, data_samples)

    def predict_by_feat(self, cls_scores: Tensor, data_samples: list) -> list:
        """Average the views; a ValueError if the clips of a sample cannot be divided into them."""
        self._check(len(cls_scores) % len(data_samples) == 0, cls_scores, data_samples)
        return super().predict_by_feat(cls_scores, data_samples)

    def _check(self, fits: bool, cls_scores: Tensor, data_samples: list) -> None:
        if not fits:
            clips = len(cls_scores) * self.pooling.num_clips
            raise InputError(
                f'AttentiveHead(num_clips={self.pooling.num_clips}) got {clips} clips of '
                f'{len(data_samples)} samples: a view in the pipeline must have num_clips clips '
                '(frames in 2-D), and there is one view per sample in training.')
