"""Mixup or CutMix of a batch of clips."""
from typing import Any

from torch import Tensor

from vicmae_mm.registry import MODELS


@MODELS.register_module()
class MixupCutmix:
    """Mix every batch by mmaction2's Mixup or CutMix, with equal probability.

    For ``ActionDataPreprocessor(blending=...)``. The number of classes is set once, not in each
    part as ``mmaction.RandomBatchAugment`` requires.

    Args:
        num_classes: Number of classes, the same as in the head.
        mixup_alpha, cutmix_alpha: Parameters of the Beta distributions that they draw from.
    """

    def __init__(self, num_classes: int, mixup_alpha: float = 0.8,
                 cutmix_alpha: float = 1.0) -> None:
        self.num_classes = num_classes
        self.augment = MODELS.build(dict(type='mmaction.RandomBatchAugment', augments=[
            dict(type='mmaction.MixupBlending', alpha=mixup_alpha, num_classes=num_classes),
            dict(type='mmaction.CutmixBlending', alpha=cutmix_alpha, num_classes=num_classes),
        ]))

    def __call__(self, clips: Tensor, data_samples: list[Any]) -> tuple[Tensor, list[Any]]:
        """Mix clips (B, N, 3, T, H, W) and turn their labels into soft ones (num_classes, )."""
        return self.augment(clips, data_samples)
