"""The masked image encoder f_theta of ViC-MAE (paper section 3.1 and 3.3)."""
from typing import Any

import torch
from mmpretrain.models.selfsup.mae import MAEViT
from torch import Tensor, nn

from vicmae_mm.models.utils.position import check_patch_grid, sincos_position_table
from vicmae_mm.models.utils.random_rows import rand_rows
from vicmae_mm.registry import MODELS


@MODELS.register_module()
class ViCMAEViT(MAEViT):
    """Vision Transformer that encodes only the visible patches of an image.

    mmpretrain's ``MAEViT`` with explicit masking noise, the authors'
    initialisation and position table, and weights that survive
    ``init_cfg=dict(type='Pretrained', ...)`` (upstream overwrites its
    class token, patch and position embeddings after loading them).

    Args:
        arch: A name of mmpretrain's ViT zoo or a dict. ViT-S is ``'deit-s'``:
            mmpretrain's ``'s'`` is 768 wide and 8 deep.
        img_size: Side of the square input in pixels, a multiple of ``patch_size``.
        patch_size: Side of a patch in pixels.
        mask_ratio: Share of patches hidden from the encoder, in [0, 1).
            ``int(L * (1 - mask_ratio))`` of ``L`` patches stay visible.
        **kwargs: Passed to ``mmpretrain.MAEViT``.

    Raises:
        ValueError: If the image is not a grid of whole patches or the mask
            ratio leaves no visible patch.
    """

    def __init__(self,
                 arch: str | dict = 'b',
                 img_size: int = 224,
                 patch_size: int = 16,
                 mask_ratio: float = 0.75,
                 **kwargs: Any) -> None:
        side = check_patch_grid(img_size, patch_size)
        if not 0 <= mask_ratio < 1 or int(side**2 * (1 - mask_ratio)) < 1:
            raise ValueError(
                f'mask_ratio={mask_ratio} must lie in [0, 1) and leave at least one of the '
                f'{side**2} patches visible.')
        super().__init__(
            arch=arch, img_size=img_size, patch_size=patch_size, mask_ratio=mask_ratio, **kwargs)

    def init_weights(self) -> None:
        """Initialise as the authors do, or leave pretrained weights alone."""
        if isinstance(self.init_cfg, dict) and self.init_cfg.get('type') == 'Pretrained':
            super(MAEViT, self).init_weights()
            return
        super().init_weights()
        self.pos_embed.data.copy_(
            sincos_position_table(self.patch_resolution[0], self.embed_dims))
        for layer in self.layers:
            for module in layer.ffn.modules():
                if isinstance(module, nn.Linear):
                    nn.init.zeros_(module.bias)

    def train(self, mode: bool = True) -> 'ViCMAEViT':
        """Set the mode and return the module, which mmpretrain's backbones do not."""
        super().train(mode)
        return self

    def random_masking(self,
                       x: Tensor,
                       mask_ratio: float = 0.75,
                       noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Keep the patches with the smallest noise.

        Args:
            x: Patch embeddings (B, L, C).
            mask_ratio: Share of patches removed.
            noise: (B, L); where it is None, :func:`rand_rows` draws it.

        Returns:
            Visible patches (B, keep, C), mask (B, L) with 1 for removed
            patches, and the indices (B, L) that undo the shuffle.
        """
        num_keep = int(x.shape[1] * (1 - mask_ratio))
        if noise is None:
            noise = rand_rows(*x.shape[:2], device=x.device)
        ids_shuffle = noise.argsort(dim=1)
        ids_restore = ids_shuffle.argsort(dim=1)
        ids_keep = ids_shuffle[:, :num_keep, None].expand(-1, -1, x.shape[2])
        return x.gather(1, ids_keep), (ids_restore >= num_keep).float(), ids_restore

    def forward(
        self,
        x: Tensor,
        mask: bool | None = True,
        noise: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Encode images.

        Args:
            x: Images (B, 3, H, W).
            mask: Whether to hide patches. If not, the output is that of
                mmpretrain's ``VisionTransformer``: a tuple of features.
            noise: Masking noise (B, L), for reproducible masks.

        Returns:
            Class token and visible patches after the final norm (B, 1 + keep, C),
            the mask (B, L) with 1 for hidden patches and the restoring indices (B, L).
        """
        if not mask:
            return super().forward(x, mask=None)
        if x.shape[-2:] != self.img_size:
            raise ValueError(
                f'The encoder was built for {self.img_size[0]} x {self.img_size[1]} px but got '
                f'{x.shape[-2]} x {x.shape[-1]}: set backbone.img_size and the crop size of the '
                'pipeline to the same value.')
        patches = self.patch_embed(x)[0] + self.pos_embed[:, 1:]
        visible, patch_mask, ids_restore = self.random_masking(patches, self.mask_ratio, noise)
        cls_token = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        tokens = torch.cat((cls_token, visible), dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.ln1(tokens), patch_mask, ids_restore
