"""Which Vision Transformer a state dict belongs to, inferred from the shapes of its tensors."""
from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vicmae_mm.checkpoints.conversion.detect import describe_family
from vicmae_mm.utils.errors import InputError

from .hub_config import ACTIVATIONS, HubConfig

# VideoMAE's clips. Its position table for space and time together does not show the frames.
VIDEO_FRAMES = 16
# Width and depth of networks that exist with different numbers of heads.
_SEVERAL_HEADS = {(384, 12): '6 (DeiT, DINO, VideoMAE) or 12 (MoCo v3)'}


def infer_backbone(weights: Mapping[str, Tensor], checkpoint: str, hub: HubConfig) -> nn.Module:
    """Build a ``mmpretrain.VisionTransformer``, or a ``VideoViT`` if patches are tubelets.

    Depth, width, patch and image size, norms, layer scale and registers are inferred from names and
    shapes. The number of attention heads cannot be: it is the one in ``hub``, else that of the
    network in mmpretrain's zoo with these sizes. ViT-S exists with 6 and with 12: it is not
    guessed. The activation of a CLIP is the one in ``hub``.

    Raises:
        ValueError: If it cannot be inferred, with what to do; ``checkpoint`` names the file.
    """
    from mmpretrain.models.backbones import VisionTransformer

    from vicmae_mm.models import RegisterViT, VideoViT
    settings = backbone_settings(weights, checkpoint, hub)
    projection = weights['backbone.patch_embed.projection.weight']
    patches = weights['backbone.pos_embed'].shape[1] - settings['with_cls_token']
    if projection.ndim == 4:
        size = _image_size(patches, projection, checkpoint, hub)
        kind = RegisterViT if 'num_registers' in settings else VisionTransformer
        return kind(img_size=size, **settings)
    tubelet, time = projection.shape[2], weights.get('backbone.temporal_embed')
    frames = (hub.frames or VIDEO_FRAMES) if time is None else tubelet * time.shape[1]
    if time is None:
        patches, rest = divmod(patches, frames // tubelet)
        patches = -1 if rest else patches
    return VideoViT(
        img_size=_image_size(patches, projection, checkpoint, hub), num_frames=frames,
        tubelet_size=tubelet, separable_position=time is not None, **settings)


def backbone_settings(weights: Mapping[str, Tensor], checkpoint: str,
                      hub: HubConfig) -> dict[str, Any]:
    """Arguments of a ``VisionTransformer``, without the sizes of images and clips.

    Arguments and errors are those of :func:`infer_backbone`.
    """
    projection = weights.get('backbone.patch_embed.projection.weight')
    feedforward = weights.get('backbone.layers.0.ffn.layers.0.0.bias')
    if projection is None or feedforward is None or 'backbone.pos_embed' not in weights or (
            not projection.numel()):
        raise _unknown(checkpoint, f'it looks like {describe_family(weights)}')
    layers = {match[1] for key in weights if (match := re.match(r'backbone\.layers\.(\d+)\.', key))}
    sizes = dict(
        embed_dims=len(projection), num_layers=len(layers), feedforward_channels=len(feedforward))
    hub.check_sizes(len(projection), len(layers), projection.shape[-1])
    scaled, is_clip = 'backbone.layers.0.attn.gamma1.weight' in weights, (
        'backbone.pre_norm.weight' in weights)
    if is_clip and hub.activation is None:
        raise _unknown(checkpoint, 'its tensors do not show whether a CLIP has "gelu" or, like '
                       'OpenAI\'s, "quick_gelu"', 'hidden_act')
    registers = weights.get('backbone.register_tokens')
    return dict(
        {} if registers is None else dict(num_registers=registers.shape[1]),
        norm_cfg=dict(type='LN', eps=hub.norm_eps or (1e-5 if is_clip else 1e-6)),
        layer_cfgs=dict(act_cfg=dict(type=ACTIVATIONS[hub.activation or 'gelu'])),
        layer_scale_init_value=float(scaled),
        pre_norm=is_clip,
        arch=dict(sizes, num_heads=_num_heads(sizes, checkpoint, hub, scaled)),
        patch_size=projection.shape[-1],
        with_cls_token='backbone.cls_token' in weights,
        final_norm='backbone.ln1.weight' in weights,
        qkv_bias='backbone.layers.0.attn.qkv.bias' in weights,
        out_type='avg_featmap' if 'backbone.ln2.weight' in weights else 'raw')


def _num_heads(sizes: dict[str, int], checkpoint: str, hub: HubConfig, scaled: bool) -> int:
    from mmpretrain.models.backbones import VisionTransformer
    if hub.heads is not None:
        return hub.heads
    network = 'a Vision Transformer {embed_dims} wide and {num_layers} deep'.format_map(sizes)
    several = _SEVERAL_HEADS.get((sizes['embed_dims'], sizes['num_layers']))
    arch = next((arch for arch in VisionTransformer.arch_zoo.values()
                 if sizes.items() <= arch.items()), None)
    # Another number of heads would load as well, and give features without meaning.
    if arch is None:
        raise _unknown(checkpoint, f'{network} is not a standard one, so the number of its heads '
                       'is unknown', 'num_attention_heads')
    if several and not hub.is_timm and not scaled:  # DINOv2 and DeiT III have 6
        raise _unknown(checkpoint, f'{network} has {several} attention heads: which, '
                       'its tensors do not show', 'num_attention_heads')
    return arch['num_heads']


def _image_size(patches: int, projection: Tensor, checkpoint: str,
                hub: HubConfig) -> tuple[int, int]:
    """Height and width in pixels of the images with that many patches."""
    patch, side = projection.shape[-1], math.isqrt(max(patches, 0))
    height, width = hub.image or (side * patch, side * patch)
    if patches < 1 or (height // patch) * (width // patch) != patches:
        images = f'images of {height} x {width} px, as {hub.source} says'
        raise _unknown(checkpoint, 'its position table does not fit ' + (
            images if hub.image else 'a square image, or 16 frames of one'))
    return height, width


def _unknown(checkpoint: str, reason: str, key: str = '') -> InputError:
    advice = key and f', or write it to config.json next to it: {{"{key}": ...}}'
    return InputError(f'Cannot infer the architecture of {checkpoint} from its tensors: {reason}. '
                      f'Name the config it was trained with (config=, --config){advice}.')
