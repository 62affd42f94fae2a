"""Frozen features of images."""
from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vicmae_mm.models.necks.token_pooling import TokenPooling

if TYPE_CHECKING:
    from vicmae_mm.models import ViCMAE


@torch.no_grad()
def extract_features(model: ViCMAE,
                     images: Tensor,
                     pooling: str = 'mean',
                     batch_size: int = 256) -> Tensor:
    """Encode whole, unmasked images with a masked encoder.

    Args:
        model: A model whose backbone is a ``ViCMAEViT``; it is left in eval mode.
        images: (N, 3, H, W), 0 to 255, as the model's ``data_preprocessor`` takes them.
        pooling: ``'mean'`` over the patch tokens after the final norm, or another
            mode of ``TokenPooling``, such as ``'cls'``.
        batch_size: Images a forward pass.

    Returns:
        Features (N, C), float32, on the CPU.

    Raises:
        ValueError: For an unknown pooling.
    """
    pool = TokenPooling(pooling)
    model.eval()
    features = []
    for batch in images.split(batch_size):
        inputs = model.data_preprocessor(dict(inputs=[batch], data_samples=None))['inputs'][0]
        features.append(pool(model.extract_feat(inputs)[-1]).float().cpu())
    return torch.cat(features)
