"""The decoder d_phi that predicts the pixels of hidden patches."""
from mmpretrain.models.necks import MAEPretrainDecoder

from vicmae_mm.models.utils.position import sincos_position_table
from vicmae_mm.registry import MODELS


@MODELS.register_module()
class MAEDecoder(MAEPretrainDecoder):
    """mmpretrain's ``MAEPretrainDecoder`` with the authors' position table.

    Takes visible tokens (B, 1 + keep, C) and the restoring indices (B, L),
    returns predicted patches (B, L, patch_size**2 * 3). ``num_patches`` must
    be the encoder's.
    """

    def init_weights(self) -> None:
        """Initialise as MAE does, with columns first in the position table."""
        super().init_weights()
        self.decoder_pos_embed.data.copy_(
            sincos_position_table(int(self.num_patches**0.5), self.decoder_pos_embed.shape[-1]))
