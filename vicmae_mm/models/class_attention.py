"""Attention of the class token of a Vision Transformer to all tokens."""
from typing import Any

import torch
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn
from torch.nn import functional as F

from vicmae_mm.utils.errors import InputError

from .precision import at_least_fp32


def last_attention(backbone: nn.Module) -> Any:
    """The attention of the last block.

    Raises:
        ValueError: If the network is no Vision Transformer of mmpretrain or this package with a
            class token, or its attention is not ``softmax(q k^T / sqrt(D)) v``.
    """
    name = type(backbone).__name__
    attention = next((module for module in reversed([*backbone.modules()])
                      if isinstance(module, MultiheadAttention)), None)
    # BEiT adds relative positions; qk_scale replaces the function.
    if attention is None or (
            attention.scaled_dot_product_attention is not F.scaled_dot_product_attention):
        raise InputError(f'A {name} has no attention of a class token that can be shown: that '
                         'takes a VisionTransformer of mmpretrain, or one of this package.')
    if getattr(backbone, 'cls_token', None) is None:
        raise InputError(f'This {name} has no class token, so there is no attention of it.')
    return attention


def class_token_weights(qkv: Tensor, num_heads: int) -> Tensor:
    """Attention probabilities (B, heads, N) of the first of N tokens, at least fp32.

    Args:
        qkv: (B, N, 3 * heads * D), the output of the attention's layer ``qkv``.
        num_heads: Number of heads.
    """
    query, key, _ = at_least_fp32(qkv).unflatten(2, (3, num_heads, -1)).unbind(2)
    scores = torch.einsum('bhd,bnhd->bhn', query[:, 0], key) * key.shape[-1]**-0.5
    return scores.softmax(-1)
