"""Frozen features of images."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from vicmae_mm.utils.errors import InputError

if TYPE_CHECKING:
    from vicmae_mm.models import Encoder


@torch.no_grad()
def encode(encoder: Encoder, images: Any, level: str = 'avg', batch_size: int = 256,
           num_workers: int = 0, progress: Callable[[int], object] | None = None) -> Tensor:
    """Encode images in batches, on the device of the encoder.

    Args:
        encoder: From ``vicmae_mm.apis.load_backbone``; it is left in eval mode.
        images: A ``Dataset`` without labels, or a tensor, of images (3, S, S), RGB, 0 to 255.
        level: ``'cls'``, ``'avg'`` or ``'tokens'``, see :class:`Encoder`.
        batch_size: Images per forward pass.
        num_workers: Processes that load images; 0 loads them in this one.
        progress: Called after each batch with its number of images.

    Returns:
        Features (N, C), of tokens (N, L, C), float32, on the CPU, in the order of the images.

    Raises:
        ValueError: If the encoder does not have the level, or there are no images.
    """
    encoder.check_level(level)
    encoder.eval()
    features = []
    for batch in DataLoader(images, batch_size, num_workers=num_workers):
        # To the CPU batch by batch, because a dataset's features may not fit on the GPU.
        features.append(encoder(batch.to(encoder.mean.device), level).float().cpu())
        if progress is not None:
            progress(len(batch))
    if not features:
        raise InputError('There are no images to encode.')
    return torch.cat(features)
