"""The decoder d_phi that predicts the pixels of hidden patches."""
from typing import Any

import torch
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.necks import MAEPretrainDecoder
from torch import Tensor

from vicmae_mm.models.positions import sincos_position_table
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError


@MODELS.register_module()
class MAEDecoder(MAEPretrainDecoder):
    """mmpretrain's ``MAEPretrainDecoder`` with the authors' position table.

    It can predict only the hidden patches, which costs less and gives the same numbers.
    ``num_patches`` must be the encoder's.

    Raises:
        ValueError: For ``decoder_depth=0``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.decoder_blocks:
            raise InputError('decoder_depth=0: without a block, the hidden patches get no '
                             'information from the visible ones. Set it to 1 or more.')
        # Changing the class keeps the block's parameters and their names in checkpoints.
        self.decoder_blocks[-1].__class__ = _LastBlock

    def forward(self, x: Tensor, ids_restore: Tensor, hidden_only: bool = False) -> Tensor:
        """Predict patches.

        Args:
            x: Class token and visible tokens (B, 1 + keep, C).
            ids_restore: Restoring indices (B, L).
            hidden_only: Predict only the hidden patches.

        Returns:
            All patches (B, L, patch_size**2 * 3) row by row, or the hidden ones
            (B, L - keep, patch_size**2 * 3) in the order ``ids_restore.argsort(dim=1)[:, keep:]``.
        """
        if hidden_only:
            return self._predict_hidden(x, ids_restore.argsort(dim=1))
        return super().forward(x, ids_restore)

    def _predict_hidden(self, latent: Tensor, ids_shuffle: Tensor) -> Tensor:
        # A transformer does not depend on the order of its tokens. They stay in the encoder's
        # order, the hidden ones at the end, and the positions are reordered instead.
        num_known = latent.shape[1]
        position = self.decoder_pos_embed[0]
        cls_position = position[:1].expand(len(latent), -1, -1)
        position = torch.cat((cls_position, position[1:][ids_shuffle]), dim=1)
        known = self.decoder_embed(latent) + position[:, :num_known]
        tokens = torch.cat((known, self.mask_token + position[:, num_known:]), dim=1)
        *blocks, last = self.decoder_blocks
        for block in blocks:
            tokens = block(tokens)
        return self.decoder_pred(self.decoder_norm(last(tokens, num_known)))

    def init_weights(self) -> None:
        """Initialise as MAE does, with columns first in the position table."""
        super().init_weights()
        self.decoder_pos_embed.data.copy_(
            sincos_position_table(int(self.num_patches**0.5), self.decoder_pos_embed.shape[-1]))


class _LastBlock(TransformerEncoderLayer):
    """mmpretrain's layer that computes its output only for the tokens to be predicted."""

    # In forward, and not a method of its own: activation checkpointing and hooks wrap forward.
    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Map tokens (B, N, C) to those from ``start`` on (B, N - start, C)."""
        x = (x + self.attn(self.ln1(x)))[:, start:]
        return self.ffn(self.ln2(x), identity=x)
