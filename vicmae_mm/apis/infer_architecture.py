"""Which Vision Transformer a state dict is of, told by the shapes of its tensors."""
from __future__ import annotations

import math
import re
from collections.abc import Mapping

from torch import Tensor, nn

from vicmae_mm.checkpoints.conversion.detect import describe_family
from vicmae_mm.utils.errors import InputError

VIDEO_FRAMES = 16  # of VideoMAE's clips: its one table does not tell time from space


def infer_backbone(weights: Mapping[str, Tensor], checkpoint: str) -> nn.Module:
    """Build the network that a state dict is of, with ``out_type='raw'``.

    Depth, width, patch, image size and which norms there are show in the shapes. The number of
    attention heads does not: it is that of the network of mmpretrain's zoo with these sizes.

    Args:
        weights: Names as in mmpretrain, beginning with ``backbone.``.
        checkpoint: Name of the file, for the message.

    Returns:
        A ``mmpretrain.VisionTransformer``, or a ``VideoViT`` where patches are tubelets.

    Raises:
        ValueError: If it can not be told, with what to do.
    """
    from mmpretrain.models.backbones import VisionTransformer

    from vicmae_mm.models import VideoViT
    projection = weights.get('backbone.patch_embed.projection.weight')
    table = weights.get('backbone.pos_embed')
    layers = {match[1] for key in weights if (match := re.match(r'backbone\.layers\.(\d+)\.', key))}
    feedforward = weights.get('backbone.layers.0.ffn.layers.0.0.bias')
    if projection is None or table is None or feedforward is None:
        raise _unknown(checkpoint, f'it looks like {describe_family(weights)}')
    sizes = dict(
        embed_dims=len(projection), num_layers=len(layers), feedforward_channels=len(feedforward))
    arch = next((arch for arch in VisionTransformer.arch_zoo.values()
                 if sizes.items() <= arch.items()), None)
    if arch is None:
        raise _unknown(checkpoint, f'a Vision Transformer {len(projection)} wide and {len(layers)} '
                       'deep is none of the standard ones, so the number of its heads is unknown')
    has_cls_token = 'backbone.cls_token' in weights
    settings = dict(
        arch=arch,
        patch_size=projection.shape[-1],
        with_cls_token=has_cls_token,
        final_norm='backbone.ln1.weight' in weights,
        qkv_bias='backbone.layers.0.attn.qkv.bias' in weights,
        out_type='avg_featmap' if 'backbone.ln2.weight' in weights else 'raw')
    places = table.shape[1] - has_cls_token
    if projection.ndim == 4:
        side = _side(places, projection, checkpoint)
        backbone = VisionTransformer(img_size=side, **settings)
    else:
        tubelet, time = projection.shape[2], weights.get('backbone.temporal_embed')
        if time is None:
            places, rest = divmod(places, VIDEO_FRAMES // tubelet)
            places = -1 if rest else places
        frames = VIDEO_FRAMES if time is None else tubelet * time.shape[1]
        backbone = VideoViT(
            img_size=_side(places, projection, checkpoint), num_frames=frames,
            tubelet_size=tubelet, separable_position=time is not None, **settings)
    backbone.out_type = 'raw'  # here, as building with it would leave out ln2
    return backbone


def _side(places: int, projection: Tensor, checkpoint: str) -> int:
    """Side in pixels of the square image with so many patches."""
    side = math.isqrt(max(places, 0))
    if places < 1 or side**2 != places:
        raise _unknown(checkpoint, 'its position table is not that of a square image, or of 16 '
                       'such frames')
    return side * projection.shape[-1]


def _unknown(checkpoint: str, reason: str) -> InputError:
    return InputError(f'What network {checkpoint} is of can not be told by its tensors: {reason}. '
                      'Name the config it was trained with (config=, --config).')
