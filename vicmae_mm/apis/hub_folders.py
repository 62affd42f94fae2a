"""Folders that transformers and timm load; neither of them is needed to write one."""
from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from vicmae_mm.checkpoints.conversion import Conversion, convert_with_report
from vicmae_mm.checkpoints.conversion.families import NO_EMBED_CLASS, OURS
from vicmae_mm.checkpoints.find_config import read_config
from vicmae_mm.checkpoints.saved_config import read_config_text
from vicmae_mm.checkpoints.weight_files import unwrap, write_weights
from vicmae_mm.checkpoints.weight_folders import PICKLED, SAFE, files_of_weights
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.atomic_files import atomic_write_bytes
from vicmae_mm.utils.errors import InputError

from .hub_config import ACTIVATIONS
from .load_backbone import load_backbone
from .model_card import TAG, model_card

if TYPE_CHECKING:
    from vicmae_mm.models import Encoder

# Classes of transformers for encoder and classifier, by its model_type.
_CLASSES = dict(vit=('ViTModel', 'ViTForImageClassification'), dinov2=('Dinov2Model', ''),
                videomae=('VideoMAEModel', 'VideoMAEForVideoClassification'))
FOLDERS = ('hf', 'timm')
_FILES = ('model.safetensors', 'preprocessor_config.json', 'config.json', 'README.md')
_TIMM = {192: 'tiny_patch16', 384: 'small_patch16', 1024: 'large_patch16', 1280: 'huge_patch14'}
_Settings = dict[str, Any]


def write_hub_folder(checkpoint: str | Path, folder: str | Path, target: str = 'hf', *,
                     config: str | Path | None = None, encoder_only: bool = False) -> Conversion:
    """Write a folder for ``AutoModel.from_pretrained`` or ``timm.create_model('local-dir:...')``.

    Args:
        checkpoint: Of a Vision Transformer; as for :func:`load_backbone`, like ``config``.
        folder: Its weights are written last. Only files of an earlier conversion are replaced.
        target: ``'hf'``, transformers' class that fits the encoder, or ``'timm'``.
        encoder_only: Leave out a classifier. A decoder is never written.

    Returns:
        What was written, and what became of other tensors.

    Raises:
        FileExistsError: If the folder is a file, or has ``checkpoint`` or other files of a model.
        ValueError: If the target has no such network.
    """
    folder = Path(folder).expanduser().resolve()
    sources, card = files_of_weights(checkpoint), folder / 'README.md'
    is_ours = card.is_file() and TAG in card.read_text(errors='replace')
    for path in folder.iterdir() if folder.is_dir() else [folder] * folder.exists():
        name = path.name
        if path in (folder, *sources) or (not is_ours if name in _FILES else name.endswith(
                (*PICKLED, SAFE, '.index.json'))):
            raise FileExistsError(f'{path} is in the way: name a new folder.')
    encoder = load_backbone(checkpoint, config)
    content = CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu')
    meta: _Settings = content['meta'] if isinstance(content.get('meta'), dict) else {}
    cfg = read_config(config).to_dict() if config else read_config_text(meta.get('cfg'))
    try:
        net, images = _network(encoder), _image_processor(encoder)
        result = _convert(unwrap(content, str(checkpoint))[0], net, target, encoder_only)
        head = result.state.get('head.weight', result.state.get('classifier.weight', ()))
        names = [*map(str, (meta.get('dataset_meta') or {}).get('classes') or ())]
        names = names if len(names) == len(head) else [f'LABEL_{i}' for i in range(len(head))]
        files = {'config.json': _timm_config(net, images, result.state, names)} if (
            target == 'timm') else {'config.json': _transformers_config(net, result, names),
                                    'preprocessor_config.json': images}
    except ValueError as error:
        raise InputError(f'{checkpoint}: {error}') from error
    if encoder.normalisation_is_assumed:
        result.added.append(f'mean {images["image_mean"]} and std {images["image_std"]}, assumed '
                            f'as usual for {result.source}')
    text = model_card(folder.name, sources[0], result, files['config.json'], meta, cfg)
    for name in _FILES[:2]:
        (folder / name).unlink(missing_ok=True)
    atomic_write_bytes(card, [text.encode()])
    for name, settings in files.items():
        atomic_write_bytes(folder / name, [json.dumps(settings, indent=2).encode()])
    # Last: without weights, no folder looks complete.
    write_weights(folder / 'model.safetensors', result.state)
    return result


def _network(encoder: Encoder) -> _Settings:
    """The settings of a network that others have, too, under the names of transformers."""
    from mmpretrain.models.backbones import VisionTransformer

    from vicmae_mm.models import RegisterViT, VideoViT
    net: Any = encoder.backbone
    if type(net) not in (VisionTransformer, RegisterViT, VideoViT) or (
            not hasattr(net.layers[0].ffn, 'layers')):  # gated
        raise InputError('such folders are written for plain Vision Transformers, and this is a '
                         f'{type(net).__name__}: use it in mmpretrain or mmaction2.')
    layer, pooled, patches = net.layers[0], hasattr(net, 'ln2'), net.patch_embed.projection
    names = {repr(MODELS.build(dict(type=kind))): name for name, kind in ACTIVATIONS.items()}
    act = repr(layer.ffn.layers[0][1])
    for wrong, reason in (
            (encoder.bgr, 'takes BGR images'), (act not in names, f'has the activation {act}'),
            (net.final_norm == pooled and (pooled or not encoder.num_frames),
             'has a norm before pooling and one after it, or neither'),
            (net.out_indices[-1] != len(net.layers) - 1, 'ends before its last layer'),
            (len({*patches.kernel_size[-2:], *patches.stride[-2:]}) > 1,
             'has patches that overlap or are not square')):
        if wrong:
            raise InputError(f'transformers and timm have no network that {reason}.')
    settings = dict(
        hidden_size=net.embed_dims, num_hidden_layers=len(net.layers), hidden_act=names[act],
        num_attention_heads=layer.attn.num_heads, intermediate_size=layer.ffn.layers[1].in_features,
        layer_norm_eps=layer.ln1.eps, image_size=encoder.image_size,
        patch_size=patches.kernel_size[-1])
    if encoder.num_frames:
        settings |= dict(num_frames=net.num_frames, tubelet_size=net.tubelet_size,
                         use_mean_pooling=not net.final_norm)
    if getattr(net, 'num_registers', 0):
        settings['num_register_tokens'] = net.num_registers
    return settings


def _image_processor(encoder: Encoder) -> _Settings:
    """Our preprocessing for evaluation; for rectangles, all of an image instead of a crop."""
    size: Any = encoder.image_size
    height, width = (size, size) if isinstance(size, int) else size
    # By way of a text: 123.675, and not its nearest neighbour of 32 bits.
    mean, std = ([round(float(str(value)) / 255, 10) for value in values.cpu().numpy()]
                 for values in (encoder.mean, encoder.std))
    crop = dict(height=height, width=width)
    return dict(
        image_processor_type=f'{"VideoMAE" if encoder.num_frames else "Bit"}ImageProcessor',
        resample=3, do_center_crop=height == width, crop_size=crop, image_mean=mean, image_std=std,
        size=dict(shortest_edge=round(height * 256 / 224)) if height == width else crop)


def _convert(weights: dict[str, Tensor], net: _Settings, target: str,
             encoder_only: bool) -> Conversion:
    first = convert_with_report(weights, leave_out=True, img_size=net['image_size'],
                                num_frames=net.get('num_frames', 16))
    if target == 'hf':
        target = 'hf-videomae' if 'num_frames' in net else (
            'hf-dinov2' if 'backbone.layers.0.attn.gamma1.weight' in first.state else 'hf-vit')
    elif 'num_register_tokens' in net:
        target = NO_EMBED_CLASS
        first.added.append('the position of the class token, to the token: outputs may differ in '
                           'the last bits')
    # All of a classifier: without a norm before its last layer, its output would be another.
    result = convert_with_report(
        first.state, OURS, target, encoder_only=encoder_only or not any(
            key.startswith(('head.', 'cls_head.')) for key in first.state))
    if target == 'hf-dinov2':
        result.state['embeddings.mask_token'] = 0 * first.state['backbone.cls_token'][0]
        first.added.append('zeros for the mask token of its pre-training')
    elif 'fc_norm.weight' in result.state and target == 'hf-videomae':
        first.added.append('eps of the norm after pooling: 1e-5, which is fixed there')
    result.source, result.added = first.source, first.added + result.added
    result.left_out = first.left_out + result.left_out
    return result


def _transformers_config(net: _Settings, result: Conversion, names: list[str]) -> _Settings:
    kind = result.target.removeprefix('hf-')
    settings = dict(
        net, model_type=kind, architectures=[_CLASSES[kind][bool(names)]],
        torch_dtype=str(next(iter(result.state.values())).dtype).removeprefix('torch.'))
    if names:
        settings.update(id2label=dict(enumerate(names)),
                        label2id={name: i for i, name in enumerate(names)})
    if kind == 'dinov2':
        settings['mlp_ratio'], rest = divmod(net['intermediate_size'], net['hidden_size'])
        if rest:
            raise InputError('transformers has no DINOv2 with feed-forward layers of this width.')
        if 'num_register_tokens' in net:
            settings.update(model_type='dinov2_with_registers',
                            architectures=['Dinov2WithRegistersModel'])
    return settings


def _timm_config(net: _Settings, images: _Settings, state: dict[str, Tensor],
                 names: list[str]) -> _Settings:
    is_clip, width, act = 'norm_pre.weight' in state, net['hidden_size'], net['hidden_act']
    if net['layer_norm_eps'] != (1e-5 if is_clip else 1e-6) or (act != 'gelu' and not is_clip):
        raise InputError(f'timm has no network with {act} and eps={net["layer_norm_eps"]}.')
    arch = 'base_patch16_clip' + '_quickgelu' * (act != 'gelu') if is_clip else (
        _TIMM.get(width, 'base_patch16'))
    size = [*images['crop_size'].values()]
    labels = dict(num_classes=len(names),
                  global_pool='avg' if 'fc_norm.weight' in state else 'token')
    args = dict(
        labels, img_size=size, patch_size=net['patch_size'], embed_dim=width,
        depth=net['num_hidden_layers'], num_heads=net['num_attention_heads'],
        mlp_ratio=net['intermediate_size'] / width)
    if 'blocks.0.ls1.gamma' in state:
        args['init_values'] = 1e-5
    if 'reg_token' in state:
        args.update(reg_tokens=net['num_register_tokens'], no_embed_class=True)
    return dict(
        labels, architecture=f'vit_{arch}_224', num_features=width, label_names=names or None,
        model_args=args, pretrained_cfg=dict(
            # timm rounds size / crop_pct down, to the short side before the crop.
            crop_pct=math.floor(size[0] / round(size[0] * 256 / 224) * 1e6) / 1e6,
            input_size=[3, *size], interpolation='bicubic', crop_mode='center',
            mean=images['image_mean'], std=images['image_std'], fixed_input_size=True,
            num_classes=len(names), first_conv='patch_embed.proj', classifier='head',
            custom_load=False))
