"""The decoder d_phi that predicts the pixels of hidden patches."""
import torch
from mmpretrain.models.necks import MAEPretrainDecoder
from torch import Tensor

from vicmae_mm.models.utils.position import sincos_position_table
from vicmae_mm.registry import MODELS


@MODELS.register_module()
class MAEDecoder(MAEPretrainDecoder):
    """mmpretrain's ``MAEPretrainDecoder`` with the authors' position table.

    Training asks for the hidden patches alone, which costs less and gives the same numbers.
    ``num_patches`` must be the encoder's.
    """

    def forward(self, x: Tensor, ids_restore: Tensor, hidden_only: bool = False) -> Tensor:
        """Predict patches.

        Args:
            x: Class token and visible tokens (B, 1 + keep, C).
            ids_restore: Restoring indices (B, L).
            hidden_only: Predict the hidden patches alone.

        Returns:
            All patches (B, L, patch_size**2 * 3) row by row, or the hidden ones
            (B, L - keep, patch_size**2 * 3) in the order ``ids_restore.argsort(dim=1)[:, keep:]``.
        """
        if hidden_only:
            return self._predict_hidden(x, ids_restore.argsort(dim=1))
        return super().forward(x, ids_restore)

    def _predict_hidden(self, latent: Tensor, ids_shuffle: Tensor) -> Tensor:
        # To a transformer the order of tokens means nothing: they stay as the encoder left them,
        # the hidden ones at the end, and the positions are put into their order instead.
        num_known = latent.shape[1]
        position = self.decoder_pos_embed[0]
        cls_position = position[:1].expand(len(latent), -1, -1)
        position = torch.cat((cls_position, position[1:][ids_shuffle]), dim=1)
        known = self.decoder_embed(latent) + position[:, :num_known]
        tokens = torch.cat((known, self.mask_token + position[:, num_known:]), dim=1)
        *blocks, last = self.decoder_blocks
        for block in blocks:
            tokens = block(tokens)
        # What the last block makes of known tokens, nobody looks at.
        hidden = (tokens + last.attn(last.ln1(tokens)))[:, num_known:]
        hidden = last.ffn(last.ln2(hidden), identity=hidden)
        return self.decoder_pred(self.decoder_norm(hidden))

    def init_weights(self) -> None:
        """Initialise as MAE does, with columns first in the position table."""
        super().init_weights()
        self.decoder_pos_embed.data.copy_(
            sincos_position_table(int(self.num_patches**0.5), self.decoder_pos_embed.shape[-1]))
