"""Which Vision Transformer a state dict belongs to, inferred from the shapes of its tensors."""
from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vicmae_mm.checkpoints.conversion.detect import describe_family
from vicmae_mm.utils.errors import InputError

# VideoMAE's clips. Its single position table does not tell how much of it is time.
VIDEO_FRAMES = 16


def infer_backbone(weights: Mapping[str, Tensor], checkpoint: str) -> nn.Module:
    """Build a ``mmpretrain.VisionTransformer``, or a ``VideoViT`` if patches are tubelets.

    Depth, width, patch and image size and the norms are inferred from names and shapes. The number
    of attention heads cannot be: it is that of the network in mmpretrain's zoo with these sizes.

    Raises:
        ValueError: If it cannot be inferred, with what to do; ``checkpoint`` names the file.
    """
    from mmpretrain.models.backbones import VisionTransformer

    from vicmae_mm.models import VideoViT
    settings = _settings(weights, checkpoint)
    projection = weights['backbone.patch_embed.projection.weight']
    patches = weights['backbone.pos_embed'].shape[1] - settings['with_cls_token']
    if projection.ndim == 4:
        return VisionTransformer(img_size=_image_size(patches, projection, checkpoint), **settings)
    tubelet, time = projection.shape[2], weights.get('backbone.temporal_embed')
    if time is None:
        patches, rest = divmod(patches, VIDEO_FRAMES // tubelet)
        patches = -1 if rest else patches
    return VideoViT(
        img_size=_image_size(patches, projection, checkpoint),
        num_frames=VIDEO_FRAMES if time is None else tubelet * time.shape[1],
        tubelet_size=tubelet, separable_position=time is not None, **settings)


def _settings(weights: Mapping[str, Tensor], checkpoint: str) -> dict[str, Any]:
    """Everything but the sizes of images and clips."""
    from mmpretrain.models.backbones import VisionTransformer
    projection = weights.get('backbone.patch_embed.projection.weight')
    feedforward = weights.get('backbone.layers.0.ffn.layers.0.0.bias')
    if projection is None or feedforward is None or 'backbone.pos_embed' not in weights:
        raise _unknown(checkpoint, f'it looks like {describe_family(weights)}')
    layers = {match[1] for key in weights if (match := re.match(r'backbone\.layers\.(\d+)\.', key))}
    sizes = dict(
        embed_dims=len(projection), num_layers=len(layers), feedforward_channels=len(feedforward))
    arch = next((arch for arch in VisionTransformer.arch_zoo.values()
                 if sizes.items() <= arch.items()), None)
    # Another number of heads would load as well, and give features without meaning.
    if arch is None:
        raise _unknown(checkpoint, f'a Vision Transformer {len(projection)} wide and {len(layers)} '
                       'deep is not a standard one, so the number of its heads is unknown')
    return dict(
        arch=arch,
        patch_size=projection.shape[-1],
        with_cls_token='backbone.cls_token' in weights,
        final_norm='backbone.ln1.weight' in weights,
        qkv_bias='backbone.layers.0.attn.qkv.bias' in weights,
        out_type='avg_featmap' if 'backbone.ln2.weight' in weights else 'raw')


def _image_size(patches: int, projection: Tensor, checkpoint: str) -> int:
    """Side in pixels of the square image with that many patches."""
    side = math.isqrt(max(patches, 0))
    if patches < 1 or side**2 != patches:
        raise _unknown(checkpoint, 'its position table does not fit a square image, or 16 frames '
                       'of one')
    return side * projection.shape[-1]


def _unknown(checkpoint: str, reason: str) -> InputError:
    return InputError(f'Cannot infer the architecture of {checkpoint} from its tensors: {reason}. '
                      'Name the config it was trained with (config=, --config).')
