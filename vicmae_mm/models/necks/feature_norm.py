"""Normalisation of frozen features before a linear classifier."""
from typing import Any

from torch import Tensor, nn

from vicmae_mm.registry import MODELS


@MODELS.register_module()
class FeatureNorm(nn.Module):
    """BatchNorm without affine parameters, which MAE uses before the linear classifier.

    mmpretrain's ``ClsBatchNormNeck`` with the interface of mmaction2's recognizers, which also
    pass data samples to a neck and expect it to return auxiliary losses.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(in_channels, affine=False, eps=1e-6)

    def forward(self, x: Tensor, data_samples: Any = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalise features (N, C); the dict of auxiliary losses is empty."""
        return self.bn(x), {}
