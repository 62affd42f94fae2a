"""Pool frozen features by attention, as V-JEPA's probe (arXiv 2404.08471, appendix D.1)."""
import torch
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule
from mmpretrain.models.utils import CrossMultiheadAttention
from torch import Tensor, nn

from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError


@MODELS.register_module()
class AttentivePooling(BaseModule):
    """A transformer block in which one learned query attends to all tokens of a sample.

    Keys and values are the normalised tokens; an MLP with a norm follows, both with a residual
    (docs/decisions.md, rows 61 and 62). The order of the tokens does not matter.

    Args:
        in_channels: Channels C of the tokens.
        num_heads: Attention heads, a divisor of ``in_channels`` (else a ValueError).
        num_clips: Consecutive items of the batch that belong to one sample: its clips or frames.
    """

    def __init__(self, in_channels: int, num_heads: int, num_clips: int = 1) -> None:
        super().__init__(init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02))
        if min(num_heads, num_clips) < 1 or in_channels % num_heads:
            raise InputError(f'num_heads={num_heads} must divide in_channels={in_channels}, and '
                             f'num_clips={num_clips} must be 1 or more.')
        self.in_channels, self.num_clips = in_channels, num_clips
        self.query = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, in_channels), std=0.02))
        self.ln1 = nn.LayerNorm(in_channels)
        self.attn = CrossMultiheadAttention(in_channels, num_heads, qkv_bias=True)
        self.ln2 = nn.LayerNorm(in_channels)
        self.ffn = FFN(in_channels, 4 * in_channels, act_cfg=dict(type='GELU'))

    def init_weights(self) -> None:
        """Draw the weights as V-JEPA: those that end a residual branch smaller by sqrt(2)."""
        scale = 1 if self.is_init else 2 ** 0.5
        super().init_weights()
        for layer in (self.attn.proj, self.ffn.layers[1]):
            layer.weight.data /= scale

    def forward(self, features: Tensor | tuple[Tensor, ...]) -> tuple[Tensor]:
        """Pool tokens (B, L, C) or maps (B, C, H, W), (B, C, T, H, W), B = N * num_clips.

        ``features`` is a tensor or a tuple of one; a tuple of a tensor (N, C) is returned, as
        mmpretrain's heads take it. Others, such as vectors or several stages, raise a ValueError.
        """
        tokens = self._tokens(features).unflatten(0, (-1, self.num_clips)).flatten(1, 2)
        keys = self.ln1(tokens)
        query = self.query.expand(len(tokens), -1, -1)
        query = query + self.attn(query, keys, keys)
        return (self.ffn(self.ln2(query), identity=query).squeeze(1), )

    def _tokens(self, features: Tensor | tuple[Tensor, ...]) -> Tensor:
        parts = [features] if isinstance(features, Tensor) else features
        shapes = [tuple(getattr(each, 'shape', ())) for each in parts]
        if len(shapes) == 1 and len(shapes[0]) in (3, 4, 5):
            tokens = parts[0].flatten(2).transpose(1, 2) if len(shapes[0]) > 3 else parts[0]
            if tokens.shape[2] == self.in_channels and len(tokens) % self.num_clips == 0:
                return tokens
        raise InputError(
            f'AttentivePooling(in_channels={self.in_channels}, num_clips={self.num_clips}) needs '
            'tokens (B, L, in_channels) or one map (B, in_channels, [T,] H, W), B a multiple of '
            f"num_clips, but got {shapes}. Vision Transformers have maps by out_type='featmap'.")
