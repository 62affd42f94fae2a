"""The decoder d_phi that predicts the pixels of hidden patches."""
import math
from typing import Any

import torch
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.necks import MAEPretrainDecoder
from torch import Tensor, nn

from vicmae_mm.models.masking import invert_order
from vicmae_mm.models.positions import sincos_position_table
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError


@MODELS.register_module()
class MAEDecoder(MAEPretrainDecoder):
    """mmpretrain's ``MAEPretrainDecoder`` with the authors' position table.

    It can predict only the hidden patches, which costs less and gives the same numbers.

    Args:
        num_patches: Patches of the encoder: their number in a square image, or rows and columns.
        **kwargs: Passed to ``mmpretrain.MAEPretrainDecoder``; ``decoder_depth`` of 1 or more.
    """

    def __init__(self, num_patches: int | tuple[int, int] = 196, **kwargs: Any) -> None:
        side = math.isqrt(num_patches) if isinstance(num_patches, int) else 0
        self.grid = (side, side) if isinstance(num_patches, int) else (*num_patches, )
        if side and side**2 != num_patches:
            raise InputError(f'decoder.num_patches={num_patches} is not a square number: for '
                             'rectangular images, set it to (rows, columns).')
        super().__init__(num_patches=math.prod(self.grid), **kwargs)
        if not self.decoder_blocks:
            raise InputError('decoder_depth=0: without a block, the hidden patches get no '
                             'information from the visible ones. Set it to 1 or more.')
        # Changing the class keeps the block's parameters and their names in checkpoints.
        self.decoder_blocks[-1].__class__ = _LastBlock

    def forward(self, x: Tensor, ids_restore: Tensor, hidden_only: bool = False) -> Tensor:
        """Predict patches from class token and visible tokens (B, 1 + keep, C).

        With P = 3 x patch_size x patch_size and restoring indices (B, L): all patches (B, L, P)
        or the hidden (B, L - keep, P), in the order ``ids_restore.argsort(dim=1)[:, keep:]``.
        """
        if not hidden_only:
            return super().forward(x, ids_restore)
        # A transformer does not depend on the order of its tokens. They stay in the encoder's
        # order, the hidden ones at the end, and the positions are reordered instead.
        num_known = x.shape[1]
        position = self.decoder_pos_embed[0]
        cls_position = position[:1].expand(len(x), -1, -1)
        position = torch.cat((cls_position, position[1:][invert_order(ids_restore)]), dim=1)
        known = self.decoder_embed(x) + position[:, :num_known]
        tokens = torch.cat((known, self.mask_token + position[:, num_known:]), dim=1)
        *blocks, last = self.decoder_blocks
        for block in blocks:
            tokens = block(tokens)
        return self.decoder_pred(self.decoder_norm(last(tokens, num_known)))

    def init_weights(self) -> None:
        """Initialise as MAE does, with columns first in the position table."""
        # Not MAEPretrainDecoder's, whose position table is that of a square.
        super(MAEPretrainDecoder, self).init_weights()
        self.decoder_pos_embed.data.copy_(
            sincos_position_table(self.grid, self.decoder_pos_embed.shape[-1]))
        nn.init.normal_(self.mask_token, std=0.02)


class _LastBlock(TransformerEncoderLayer):
    """mmpretrain's layer that computes its output only for the tokens to be predicted."""

    # In forward, and not a method of its own: activation checkpointing and hooks wrap forward.
    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Map tokens (B, N, C) to those from ``start`` on (B, N - start, C)."""
        x = (x + self.attn(self.ln1(x)))[:, start:]
        return self.ffn(self.ln2(x), identity=x)
