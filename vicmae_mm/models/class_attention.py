"""Attention of the class token of a Vision Transformer to all tokens."""
from typing import Any

import torch
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn
from torch.nn import functional as F

from vicmae_mm.utils.errors import InputError

from .precision import at_least_fp32


def last_attention(backbone: nn.Module) -> Any:
    """The last attention of a Vision Transformer; a ValueError if it has no class token to show.

    Of mmpretrain or this package, and ``softmax(q k^T / sqrt(D)) v``: BEiT adds positions.
    """
    attention = next((module for module in reversed([*backbone.modules()])
                      if isinstance(module, MultiheadAttention)), None)
    if getattr(backbone, 'cls_token', None) is None or attention is None or (
            attention.scaled_dot_product_attention is not F.scaled_dot_product_attention):
        raise InputError(
            f'This {type(backbone).__name__} has no attention of a class token that can be shown: '
            'it takes a VisionTransformer of mmpretrain or this package, with a class token.')
    return attention


def class_token_weights(qkv: Tensor, num_heads: int) -> Tensor:
    """Attention (B, heads, N) of the first of N tokens, from what the layer ``qkv`` returns."""
    query, key, _ = at_least_fp32(qkv).unflatten(2, (3, num_heads, -1)).unbind(2)
    scores = torch.einsum('bhd,bnhd->bhn', query[:, 0], key) * key.shape[-1]**-0.5
    return scores.softmax(-1)
