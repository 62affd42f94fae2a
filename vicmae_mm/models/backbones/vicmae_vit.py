"""The masked image encoder f_theta of ViC-MAE (paper, sections 3.1 and 3.3)."""
from typing import Any

import torch
from mmcv.cnn.bricks import DropPath
from mmpretrain.models.selfsup.mae import MAEViT
from torch import Tensor, nn
from torch.nn import functional as F

from vicmae_mm.models.masking import invert_order, rand_rows, take_patches
from vicmae_mm.models.positions import check_patch_grid, sincos_position_table
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError

from .register_vit import RegisterViT


@MODELS.register_module()
class ViCMAEViT(MAEViT, RegisterViT):
    """Vision Transformer that encodes only the visible patches of an image.

    mmpretrain's ``MAEViT`` with explicit masking noise, the authors' initialisation and position
    table, and weights that survive ``init_cfg=dict(type='Pretrained', ...)`` (upstream
    overwrites its class token, patch and position embeddings after loading them).

    Args:
        arch: A name in mmpretrain's zoo or a dict. ViT-S is ``'deit-s'``; ``'s'`` is 768 wide.
        img_size: Side of the square input in pixels, or (height, width), in whole patches.
        patch_size: Side of a patch in pixels.
        mask_ratio: Share of patches hidden from the encoder, in [0, 1).
            ``int(L * (1 - mask_ratio))`` of ``L`` patches stay visible.
        **kwargs: Passed to :class:`RegisterViT`: ``num_registers`` and the options of
            ``mmpretrain.VisionTransformer``, but for ``with_cls_token``.

    Raises:
        ValueError: If ``img_size`` is not a multiple of ``patch_size``, no patch would stay
            visible, there is no class token, or ``patch_cfg`` adds a norm or makes patches overlap.
    """

    def __init__(self, arch: str | dict = 'b', img_size: int | tuple[int, int] = 224,
                 patch_size: int = 16, mask_ratio: float = 0.75, **kwargs: Any) -> None:
        rows, columns = check_patch_grid(img_size, patch_size)
        if not 0 <= mask_ratio < 1 or int(rows * columns * (1 - mask_ratio)) < 1:
            raise InputError(
                f'mask_ratio={mask_ratio} must be in [0, 1) and leave at least one of the '
                f'{rows * columns} patches visible.')
        if not kwargs.pop('with_cls_token', True):
            raise InputError('with_cls_token=False is not supported: the decoder of ViC-MAE takes '
                             'a class token with the visible patches.')
        # Not MAEViT's: it has no layer scale, pre-norm and registers.
        super(MAEViT, self).__init__(
            arch=arch, img_size=(rows * patch_size, columns * patch_size), patch_size=patch_size,
            out_type=kwargs.pop('out_type', 'raw'), **kwargs)
        self.pos_embed.requires_grad = False  # as in MAE
        self.mask_ratio = mask_ratio
        self.num_patches = self.patch_resolution[0] * self.patch_resolution[1]
        conv = self.patch_embed.projection
        if self.patch_embed.norm is not None or conv.stride != conv.kernel_size:
            raise InputError(
                f'patch_cfg={kwargs["patch_cfg"]} is not supported: visible patches are embedded '
                'one by one, without a norm and without overlaps.')
        # mmpretrain sets numpy scalars, at which torch.compile stops.
        for module in self.modules():
            if isinstance(module, DropPath):
                module.drop_prob = float(module.drop_prob)

    def init_weights(self) -> None:
        """Initialise as the authors do, or load pretrained weights and keep them."""
        # Not MAEViT's, whose position table is that of a square.
        super(MAEViT, self).init_weights()
        if isinstance(self.init_cfg, dict) and self.init_cfg.get('type') == 'Pretrained':
            return
        self.pos_embed.data.copy_(sincos_position_table(self.patch_resolution, self.embed_dims))
        nn.init.xavier_uniform_(self.patch_embed.projection.weight.data.flatten(1))
        nn.init.normal_(self.cls_token, std=0.02)
        # mmpretrain draws these biases from a normal distribution of deviation 1e-6.
        for layer in self.layers:
            for module in layer.ffn.modules():
                if isinstance(module, nn.Linear):
                    nn.init.zeros_(module.bias)

    def encode_visible(self, images: Tensor, visible: Tensor) -> Tensor:
        """Embed and encode only the patches ``visible`` (B, keep) of images (B, 3, H, W).

        Returned are the class token and these patches after the final norm, (B, 1 + keep, C).
        """
        # The stride of the convolution is its kernel size: it is a linear layer on each patch.
        conv = self.patch_embed.projection
        patches = take_patches(images, visible, conv.kernel_size[0])
        patches = F.linear(patches.flatten(2), conv.weight.flatten(1), conv.bias)
        position = self.pos_embed[0]
        cls_token = (self.cls_token + position[:1]).expand(len(images), -1, -1)
        tokens = torch.cat((cls_token, patches + position[1:][visible]), dim=1)
        tokens = self.pre_norm(tokens)  # inserts the registers
        for layer in self.layers:
            tokens = layer(tokens)
        return self.without_registers(self.ln1(tokens))

    def forward(self, x: Tensor, mask: bool | None = True,
                noise: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode images (B, 3, H, W).

        Returned are class token and visible patches after the final norm (B, 1 + keep, C), the mask
        (B, L) with 1 for hidden patches and the restoring indices (B, L). Without ``mask``, the
        output is that of mmpretrain's ``VisionTransformer``: a tuple of features. ``noise`` (B, L)
        makes masks reproducible; None draws it with `rand_rows`.
        """
        if not mask:
            return super().forward(x, mask=None)
        if x.shape[-2:] != self.img_size:
            raise InputError(
                f'The encoder was built for {self.img_size[0]} x {self.img_size[1]} px but got '
                f'{x.shape[-2]} x {x.shape[-1]}: set backbone.img_size and the crop size of the '
                'pipeline to the same value.')
        if noise is None:
            noise = rand_rows(len(x), self.num_patches, device=self.pos_embed.device)
        keep = int(self.num_patches * (1 - self.mask_ratio))
        ids_shuffle = noise.argsort(dim=1)  # the first ones stay visible
        ids_restore = invert_order(ids_shuffle)
        latent = self.encode_visible(x, ids_shuffle[:, :keep])
        return latent, (ids_restore >= keep).float(), ids_restore
