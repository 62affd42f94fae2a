"""Normalisation of frozen features before a linear classifier."""
from typing import Any

from torch import Tensor, nn

from vicmae_mm.registry import MODELS


@MODELS.register_module()
class FeatureNorm(nn.Module):
    """BatchNorm without affine parameters, as MAE puts before the linear classifier.

    mmpretrain's ``ClsBatchNormNeck`` as a neck of mmaction2's recognizers, which pass data
    samples in and want auxiliary losses out.

    Args:
        in_channels: Width of the features.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(in_channels, affine=False, eps=1e-6)

    def forward(self, x: Tensor, data_samples: Any = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalise features (N, C); there are no auxiliary losses."""
        return self.bn(x), {}
