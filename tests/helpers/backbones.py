"""Every backbone that mmaction2 and mmpretrain register, tried under our contrast."""
import inspect
import re
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import mmaction.models  # noqa: F401
import mmpretrain.models  # noqa: F401
import torch
from mmaction.registry import MODELS as MMACTION
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS as MMPRETRAIN
from torch import nn

from vicmae_mm.commands.run_tool import user_message
from vicmae_mm.engine.hooks import GradientCoverageHook, SampleIndependenceHook
from vicmae_mm.registry import MODELS

# Height and width of the images, and frames, height and width of the clips
IMAGES, CLIPS = (64, 64), (8, 64, 64)
_TAKE_CLIPS = {f'mmaction.{name}' for name in (
    'C2D', 'C3D', 'MViT', 'OmniResNet', 'RGBPoseConv3D', 'ResNet2Plus1d', 'ResNet3d', 'ResNet3dCSN',
    'ResNet3dSlowFast', 'ResNet3dSlowOnly', 'SwinTransformer3D', 'TimeSformer', 'UniFormer',
    'UniFormerV2', 'VisionTransformer', 'X3D', 'AAGCN', 'STGCN')}
# Where a network is built for one size
_SIZES = {
    'mmaction.C3D': (16, 112, 112), 'mmpretrain.EfficientFormer': (224, 224),
    'mmpretrain.InceptionV3': (96, 96), 'mmpretrain.MixMIMTransformer': (224, 224),
    'mmpretrain.MixMIMPretrainTransformer': (224, 224), 'mmpretrain.PyramidVig': (224, 224),
    'mmpretrain.ViTEVA02': (56, 56), 'mmpretrain.Vig': (224, 224)}
_VIT = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
_JOINTS = dict(graph_cfg=dict(layout='coco', mode='stgcn_spatial'))
_SWIN = dict(embed_dims=24, depths=[1, 1, 1, 1], num_heads=[1, 2, 3, 4])
_RESNET3D = dict(
    type='resnet3d', depth=18, pretrained=None, lateral=False, conv1_kernel=(1, 7, 7),
    conv1_stride_t=1, pool1_stride_t=1)
# What each backbone needs to be built, and what keeps it small; others are built from their
# defaults. The size of the input is added where it is an argument.
SETTINGS: dict[str, dict[str, Any]] = {
    'mmaction.AAGCN': _JOINTS,
    'mmaction.C2D': dict(depth=18),
    'mmaction.C3D': {},
    'mmaction.MViT': dict(
        arch=dict(embed_dims=32, num_layers=2, num_heads=1, downscale_indices=[1]),
        spatial_size=64, temporal_size=8),
    'mmaction.MobileNetV2TSM': dict(pretrained2d=False),
    'mmaction.MobileOneTSM': dict(arch='s0', pretrained2d=False),
    'mmaction.ResNet': dict(depth=18),
    'mmaction.ResNet2Plus1d': dict(
        depth=18, pretrained2d=False, conv_cfg=dict(type='Conv2plus1d'), conv1_kernel=(3, 7, 7),
        pool1_stride_t=1, inflate=(1, 1, 1, 1)),
    'mmaction.ResNet3d': dict(depth=18, pretrained2d=False),
    'mmaction.ResNet3dCSN': dict(depth=50, pretrained=None, pretrained2d=False),
    'mmaction.ResNet3dLayer': dict(depth=18, pretrained2d=False),
    'mmaction.ResNet3dSlowFast': dict(
        slow_pathway=dict(_RESNET3D, lateral=True, inflate=(0, 0, 1, 1)),
        fast_pathway=dict(_RESNET3D, base_channels=8, conv1_kernel=(5, 7, 7))),
    'mmaction.ResNet3dSlowOnly': dict(depth=18, pretrained2d=False),
    'mmaction.ResNetAudio': dict(depth=50),
    'mmaction.ResNetTIN': dict(depth=18),
    'mmaction.ResNetTSM': dict(depth=18, pretrained2d=False),
    'mmaction.STGCN': _JOINTS,
    'mmaction.SwinTransformer3D': dict(arch=_SWIN, pretrained2d=False),
    'mmaction.TANet': dict(depth=50, num_segments=8),
    'mmaction.TimeSformer': dict(
        num_frames=8, img_size=64, patch_size=16, embed_dims=32, num_heads=2,
        num_transformer_layers=2),
    'mmaction.UniFormer': dict(depth=[1, 1, 1, 1], embed_dim=[16, 32, 32, 32], head_dim=16,
                               pretrained2d=False),
    'mmaction.UniFormerV2': dict(
        input_resolution=64, width=32, layers=2, heads=2, t_size=8, return_list=[0, 1], n_layers=2,
        n_dim=32, n_head=2, mlp_dropout=[0.5, 0.5], clip_pretrained=False),
    'mmaction.VisionTransformer': dict(img_size=64, embed_dims=32, depth=2, num_heads=2,
                                       num_frames=8),
    'mmpretrain.BEiTPretrainViT': dict(arch=_VIT),
    'mmpretrain.BEiTViT': dict(arch=_VIT),
    'mmpretrain.CAEPretrainViT': dict(arch=_VIT, layer_scale_init_value=0.1),
    'mmpretrain.CSPDarkNet': dict(depth=53),
    'mmpretrain.CSPResNeXt': dict(depth=50),
    'mmpretrain.CSPResNet': dict(depth=50),
    'mmpretrain.DeiT3': dict(arch=_VIT),
    'mmpretrain.DistilledVisionTransformer': dict(arch=_VIT),
    'mmpretrain.LeViT': dict(arch='128s'),
    'mmpretrain.MAEViT': dict(arch=_VIT),
    'mmpretrain.MFFViT': dict(arch=_VIT),
    'mmpretrain.MILANViT': dict(arch=_VIT),
    'mmpretrain.MViT': dict(
        arch=dict(embed_dims=32, num_layers=2, num_heads=1, downscale_indices=[1])),
    'mmpretrain.MaskFeatViT': dict(arch=_VIT),
    'mmpretrain.MlpMixer': dict(arch=dict(
        embed_dims=32, num_layers=2, tokens_mlp_dims=16, channels_mlp_dims=64)),
    'mmpretrain.DaViT': dict(pad_small_map=True),
    'mmpretrain.MoCoV3ViT': dict(arch=_VIT, img_size=64, patch_size=16),
    'mmpretrain.MobileOne': dict(arch='s0'),
    'mmpretrain.PCPVT': dict(arch='small'),
    'mmpretrain.PyramidVig': dict(arch='tiny'),
    'mmpretrain.RegNet': dict(arch='regnetx_400mf'),
    'mmpretrain.RepLKNet': dict(arch='31B'),
    'mmpretrain.RepMLPNet': dict(arch='B', img_size=64),
    'mmpretrain.RepVGG': dict(arch='A0'),
    'mmpretrain.Res2Net': dict(depth=50),
    'mmpretrain.ResNeSt': dict(depth=50),
    'mmpretrain.ResNeXt': dict(depth=50),
    'mmpretrain.ResNet': dict(depth=18),
    'mmpretrain.ResNetV1c': dict(depth=18),
    'mmpretrain.ResNetV1d': dict(depth=18),
    'mmpretrain.ResNet_CIFAR': dict(depth=18),
    'mmpretrain.RevVisionTransformer': dict(arch=_VIT),
    'mmpretrain.SEResNeXt': dict(depth=50),
    'mmpretrain.SEResNet': dict(depth=50),
    'mmpretrain.SVT': dict(arch='small'),
    'mmpretrain.SparseResNet': dict(depth=50),
    'mmpretrain.SwinTransformer': dict(arch=_SWIN, pad_small_map=True),
    'mmpretrain.SwinTransformerV2': dict(
        arch=dict(_SWIN, extra_norm_every_n_blocks=0), pad_small_map=True),
    'mmpretrain.TIMMBackbone': dict(model_name='resnet18'),
    'mmpretrain.VGG': dict(depth=11),
    'mmpretrain.TinyViT': dict(img_size=(64, 64)),
    'mmpretrain.ViTEVA02': dict(arch='tiny', img_size=56, patch_size=14),
    'mmpretrain.Vig': dict(arch='tiny'),
    'mmpretrain.VisionTransformer': dict(arch=_VIT),
    'mmpretrain.XCiT': dict(embed_dims=32, depth=2, num_heads=2),
}


def names() -> list[str]:
    """Backbones of both libraries, as configs name them."""
    found = []
    for scope, registry in (('mmaction', MMACTION), ('mmpretrain', MMPRETRAIN)):
        found += [f'{scope}.{name}' for name, kind in sorted(registry.module_dict.items())
                  if _is_backbone(kind)]
    return found


def _is_backbone(kind: Any) -> bool:
    from mmpretrain.models.backbones.base_backbone import BaseBackbone
    return isinstance(kind, type) and issubclass(kind, nn.Module) and (
        '.models.backbones.' in kind.__module__ or issubclass(kind, BaseBackbone))


def try_backbone(name: str) -> dict[str, str]:
    """Train a step as the runner does, with the settings that the messages advise.

    Returns:
        The row of the table: ``backbone``, ``input``, ``settings`` and ``verdict``.
    """
    settings: dict[str, Any] = dict(pooling=None)
    words, tried = '', []
    with DefaultScope.overwrite_default_scope('mmpretrain'):  # as in all pre-training configs
        while settings not in tried:
            tried.append(dict(settings))
            words = _train(name, settings)
            if words.startswith('trains'):
                break
            settings.update(_advised(words, settings))
    return dict(backbone=name, input='clips' if name in _TAKE_CLIPS else 'images',
                settings=_shown(settings) if words.startswith('trains') else '', verdict=words)


def _advised(words: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that a message says to set."""
    if advice := re.search(r'pooling=(dict\([^()]*\))', words):
        return dict(pooling=eval(advice[1]))
    if advice := re.search(r'pooling\.num_extra_tokens=(\d+)', words):
        return dict(pooling=dict(settings['pooling'], num_extra_tokens=int(advice[1])))
    if advice := re.search(r"_scope_='(\w+)'", words):
        return dict(_scope_=advice[1])
    return {}


def _shown(settings: dict[str, Any]) -> str:
    pooling = settings['pooling']
    words = ', '.join(f'{key}={value!r}' for key, value in (pooling or {}).items())
    scope = f"backbone._scope_='{settings['_scope_']}', " if '_scope_' in settings else ''
    return f'{scope}pooling=dict({words})' if pooling else f'{scope}pooling=None'


def _train(name: str, settings: dict[str, Any]) -> str:
    """``'trains'``, or what stopped it."""
    torch.manual_seed(0)
    size = _SIZES.get(name, CLIPS if name in _TAKE_CLIPS else IMAGES)
    scope = {'_scope_': settings['_scope_']} if '_scope_' in settings else {}
    try:
        model = MODELS.build(dict(
            type='vicmae_mm.ViCMAE', backbone=dict(_backbone_cfg(name, size), **scope),
            pooling=settings['pooling'], contrast_head=dict(type='vicmae_mm.InfoNCEHead'),
            contrast_weight=1.0))
        videos = 4 if hasattr(model.backbone, 'num_segments') else 2  # which is 8 by default
        return _steps(model, dict(inputs=[torch.rand(videos, 3, *size) for _ in range(2)]))
    except Exception as error:
        return user_message(error) or f'{type(error).__name__}: {error}'


def _backbone_cfg(name: str, size: tuple[int, ...]) -> dict[str, Any]:
    scope, _, kind = name.partition('.')
    cls = (MMACTION if scope == 'mmaction' else MMPRETRAIN).get(kind)
    cfg = dict(type=name, **SETTINGS.get(name, {}))
    if 'img_size' in inspect.signature(cls).parameters:
        cfg.setdefault('img_size', size[-1])
    return cfg


def _steps(model: nn.Module, batch: dict) -> str:
    """Call the hooks as the runner does, without its logs and checkpoints."""
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-3))
    log = Mock()
    runner: Any = SimpleNamespace(model=model.train(), optim_wrapper=wrapper, logger=log)
    hooks = [SampleIndependenceHook(), GradientCoverageHook()]
    for hook in hooks:
        hook.before_train(runner)
    while True:
        for hook in hooks:
            hook.before_train_iter(runner, 0, batch)
        data = model.data_preprocessor(batch, True)
        wrapper.update_params(model.loss(**data)['loss_contrast'])
        if not hooks[1]._pending:
            warnings = ' '.join(call.args[0] for call in log.warning.call_args_list)
            return f'trains. {warnings}' if warnings else 'trains'
