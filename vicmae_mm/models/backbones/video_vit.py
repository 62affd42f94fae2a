"""A Vision Transformer for clips that can be initialised from an image encoder."""
from typing import Any

import torch
from mmcv.cnn.bricks.transformer import PatchEmbed
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vicmae_mm.models.positions import Grid, combine_tables, resize_joint, resize_temporal
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError

from .inflation import inflate_image_weights
from .register_vit import RegisterViT


class TubeletEmbed(PatchEmbed):
    """Embeds the tubelets of a clip: patches that span several frames."""

    projection: Any

    def __init__(self, tubelet_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        conv2d = self.projection
        size = (tubelet_size, *conv2d.kernel_size)
        self.projection = nn.Conv3d(
            conv2d.in_channels, conv2d.out_channels, size, stride=size,
            bias=conv2d.bias is not None)

    def forward(self, x: Tensor) -> tuple[Tensor, Grid]:
        """Turn clips (N, 3, T, H, W) into tokens (N, T' * H' * W', C) and (T', H', W')."""
        x = self.projection(self.adaptive_padding(x))
        frames, height, width = x.shape[2:]
        return x.flatten(2).transpose(1, 2), (frames, height, width)


@MODELS.register_module()
class VideoViT(RegisterViT):
    """Vision Transformer with joint attention over space and time.

    mmpretrain's ``VisionTransformer`` on tubelets, as MAE-ST and VideoMAE fine-tune on
    Kinetics. With one frame per tubelet and one tubelet per clip it is the image encoder.

    Weights of an image encoder under mmpretrain's names (a ViC-MAE or MAE pre-trained here, a
    converted timm network) are inflated, however they are loaded: the patch embedding is spread
    evenly over the tubelet, the temporal table is zero, and for average pooling the final norm
    becomes the norm after pooling. In video checkpoints, only position tables are resized.

    Args:
        arch: A name in mmpretrain's ViT zoo or a dict. ViT-S is ``'deit-s'``.
        img_size: Height and width in pixels, or one number for both.
        patch_size: Side of a patch in pixels.
        num_frames: Frames per clip (T), a multiple of ``tubelet_size``. Clips of other sizes and
            lengths can be encoded too; their position tables are interpolated.
        tubelet_size: Frames per tubelet.
        out_type: ``'avg_featmap'``: mean over all patches, then a norm (N, C).
            ``'cls_token'``: the class token (N, C). ``'featmap'``: (N, C, T', H', W').
            ``'raw'``: all tokens (N, [1 +] T' * H' * W', C).
        final_norm: Whether the output tokens are normalised (``ln1``). None: yes, except for
            ``'avg_featmap'``, where the norm after pooling (``ln2``) replaces it.
        with_cp: Activation checkpointing: saves memory by recomputing each block in the backward
            pass. Results and gradients are the same.
        separable_position: Whether the position table is a spatial one, ``pos_embed``
            (1, [1 +] H' * W', C), plus a temporal one, ``temporal_embed`` (1, T', C), as in
            MAE-ST. If not, ``pos_embed`` is (1, [1 +] T' * H' * W', C), as in VideoMAE,
            whose checkpoints contain its fixed table.
        tuple_output: Whether to return a single output in a tuple as well. mmaction2's ``TPN``
            and ``MViTHead(with_cls_token=False)`` need that, with ``out_type='featmap'``. Several
            ``out_indices`` always give a tuple; ``SlowFastHead`` needs two.
        **kwargs: Passed to :class:`RegisterViT`: ``num_registers``, ``drop_path_rate``,
            ``with_cls_token``, ``frozen_stages``, ``out_indices``, ...
    """

    patch_embed: Any

    def __init__(self, arch: str | dict = 'b', img_size: int | tuple[int, int] = 224,
                 patch_size: int = 16, num_frames: int = 16, tubelet_size: int = 2,
                 out_type: str = 'avg_featmap', final_norm: bool | None = None,
                 with_cp: bool = False, separable_position: bool = True,
                 tuple_output: bool = False, **kwargs: Any) -> None:
        if num_frames < 1 or tubelet_size < 1 or num_frames % tubelet_size:
            raise InputError(f'num_frames={num_frames} must be a multiple of '
                             f'tubelet_size={tubelet_size}, both 1 or more.')
        super().__init__(
            arch=arch, img_size=img_size, patch_size=patch_size, out_type=out_type,
            final_norm=out_type != 'avg_featmap' if final_norm is None else final_norm, **kwargs)
        self.num_frames, self.tubelet_size = num_frames, tubelet_size
        self.with_cp, self.separable_position = with_cp, separable_position
        self.tuple_output = tuple_output
        conv2d = self.patch_embed.projection
        self.patch_embed = TubeletEmbed(
            tubelet_size, in_channels=conv2d.in_channels, input_size=img_size,
            embed_dims=self.embed_dims, kernel_size=patch_size, stride=patch_size,
            bias=conv2d.bias is not None)
        self.grid: Grid = (num_frames // tubelet_size, *self.patch_resolution)
        if separable_position:
            self.temporal_embed = nn.Parameter(
                torch.zeros(1, self.grid[0], self.embed_dims),
                requires_grad=self.frozen_stages <= 0)
        else:
            rows = self.num_extra_tokens + self.grid[0] * self.grid[1] * self.grid[2]
            self.pos_embed = nn.Parameter(torch.zeros(1, rows, self.embed_dims))
        # The base class froze the stages before the parts above were replaced.
        if self.frozen_stages > 0:
            self._freeze_stages()

    def _prepare_pos_embed(self, state_dict: dict, prefix: str, *args: Any,
                           **kwargs: Any) -> None:
        # The base class registers this as a hook of load_state_dict, so it runs however a
        # checkpoint is loaded: by init_cfg, load_from or resume.
        inflate_image_weights(self, state_dict, prefix)

    def position_table(self, grid: Grid) -> Tensor:
        """Positions (1, [1 +] T' * H' * W', C) of all tokens of a clip with this grid."""
        extra, mode = self.num_extra_tokens, self.interpolate_mode
        if not self.separable_position:
            return resize_joint(self.pos_embed, self.grid, grid, extra, mode)
        spatial = resize_pos_embed(self.pos_embed, self.grid[1:], grid[1:], mode, extra)
        return combine_tables(spatial, resize_temporal(self.temporal_embed, grid[0]), extra)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Encode normalised clips (N, 3, T, H, W), T a multiple of ``tubelet_size``.

        T, H and W may differ from what the network was built for: positions are interpolated.
        Features are those of ``out_type``; a tuple for several ``out_indices`` or ``tuple_output``.
        """
        if x.ndim != 5 or x.shape[2] % self.tubelet_size:
            raise InputError(
                f'VideoViT takes clips (N, 3, T, H, W) with T a multiple of {self.tubelet_size} '
                f'frames, but got {tuple(x.shape)}: set clip_len of SampleFrames and '
                "FormatShape(input_format='NCTHW').")
        x, grid = self.patch_embed(x)
        if self.cls_token is not None:
            x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1)
        x = self.pre_norm(self.drop_after_pos(x + self.position_table(grid)))
        outs = []
        for index, layer in enumerate(self.layers):
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
            if index == len(self.layers) - 1 and self.final_norm:
                x = self.ln1(x)
            if index in self.out_indices:
                outs.append(self._format_output(x, grid))
        return outs[0] if len(outs) == 1 and not self.tuple_output else tuple(outs)

    def _format_output(self, x: Tensor, hw: Grid) -> Tensor:
        if self.out_type == 'featmap':
            patches = x[:, self.num_extra_tokens + self.num_registers:]
            return patches.transpose(1, 2).unflatten(2, hw)
        return super()._format_output(x, hw)
