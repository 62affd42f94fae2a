"""Pool the outputs of a backbone with several pathways to one vector."""
from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.utils._pytree import tree_flatten

from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError


@MODELS.register_module()
class PathwayPooling(BaseModule):
    """Average each output of a backbone over its positions, and concatenate the averages.

    As mmaction2's ``SlowFastHead`` does for SlowFast's pathways. Also for map and class token of
    MViT, Conformer's branches, the two tokens of a distilled ViT and the resolutions of HRNet.
    """

    def forward(self, features: Tensor | Sequence) -> Tensor | tuple[Tensor]:
        """Pool maps (B, C_i, H_i, W_i) or (B, C_i, T_i, H_i, W_i), and vectors (B, C_i).

        To (B, sum of C_i), in a tuple if ``features`` is a tuple or list; another shape, such as
        that of tokens, raises a ValueError.
        """
        if isinstance(features, Tensor):
            return _mean(features)
        return (torch.cat([_mean(each) for each in tree_flatten(features)[0]], dim=1), )


def _mean(features: Tensor) -> Tensor:
    if features.ndim not in (2, 4, 5):
        raise InputError('PathwayPooling needs maps (B, C, H, W), (B, C, T, H, W) or vectors '
                         f'(B, C), got {tuple(features.shape)}.')
    return features if features.ndim == 2 else features.flatten(2).mean(dim=2)
