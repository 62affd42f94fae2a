"""Outputs of backbones are pooled as a whole, over their positions, or refused in words."""
from types import SimpleNamespace

import pytest
import torch
from mmaction.models.heads import SlowFastHead
from mmpretrain.models import (
    DistilledVisionTransformer,
    GeneralizedMeanPooling,
    GlobalAveragePooling,
    HRFuseScales,
    HRNet,
    ResNet,
)
from mmpretrain.models.backbones import MViT, VisionTransformer
from torch import Tensor, nn

from tests.helpers.models import TINY_ARCH, tiny_vicmae
from vicmae_mm.models import PathwayPooling, TokenPooling
from vicmae_mm.models.pooling import pool_features

SLOWFAST = dict(
    type='mmaction.ResNet3dSlowFast', pretrained=None, slow_pathway=dict(
        type='resnet3d', depth=18, pretrained=None, lateral=True, conv1_kernel=(1, 7, 7),
        conv1_stride_t=1, pool1_stride_t=1, inflate=(0, 0, 1, 1), norm_eval=False),
    fast_pathway=dict(
        type='resnet3d', depth=18, pretrained=None, lateral=False, base_channels=8,
        conv1_kernel=(5, 7, 7), conv1_stride_t=1, pool1_stride_t=1, norm_eval=False))


def network(**attributes) -> nn.Module:
    """A backbone that says these things of itself."""
    module = nn.Identity()
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


def evaluated(backbone: nn.Module) -> nn.Module:
    backbone.eval()  # which returns nothing in mmpretrain
    return backbone


def test_a_projector_of_another_width_than_the_pooled_vectors_is_refused():
    model = tiny_vicmae(
        backbone=dict(_delete_=True, type='mmpretrain.ResNet', depth=18), decoder=None, head=None,
        init_cfg=None, pooling=dict(_delete_=True, type='mmpretrain.GlobalAveragePooling'),
        projector=dict(in_channels=2048))
    with pytest.raises(ValueError, match=r'takes 2048 channels .* set in_channels .* to 512'):
        model.loss([torch.randn(2, 3, 32, 32) for _ in range(2)])


def test_slowfast_trains_both_pathways_and_pools_as_its_head():
    model = tiny_vicmae(
        backbone=dict(_delete_=True, **SLOWFAST), decoder=None, head=None, init_cfg=None,
        pooling=dict(_delete_=True, type='vicmae_mm.PathwayPooling'),
        projector=dict(in_channels=512 + 64))
    clips = [torch.randn(2, 3, 8, 32, 32) for _ in range(2)]
    model.loss(clips)['loss_contrast'].backward()
    assert all(p.grad is not None for p in model.parameters())
    slow, fast = model.eval().backbone(clips[0])
    head = SlowFastHead(num_classes=576, in_channels=576, dropout_ratio=0)
    nn.init.eye_(head.fc_cls.weight)
    nn.init.zeros_(head.fc_cls.bias)
    fast_first = head((slow, fast))
    pooled = pool_features((slow, fast), model.pooling, model.backbone)
    torch.testing.assert_close(pooled, torch.cat((fast_first[:, 64:], fast_first[:, :64]), dim=1))


@pytest.mark.parametrize('pooling', [
    None, GlobalAveragePooling(3), GlobalAveragePooling(), TokenPooling()])
def test_poolings_of_one_map_are_refused_for_two(pooling):
    features = torch.ones(2, 8, 2, 4, 4), torch.ones(2, 4, 8, 4, 4)
    with pytest.raises(ValueError, match=r'returns 2 outputs .*vicmae_mm\.PathwayPooling'):
        pool_features(features, pooling, network())


@pytest.mark.parametrize('backbone, width', [
    (lambda: DistilledVisionTransformer(TINY_ARCH, img_size=32, patch_size=8), 64),
    (lambda: MViT(dict(embed_dims=16, num_layers=3, num_heads=1, downscale_indices=[1, 2]),
                  img_size=32), 64),
    (lambda: HRNet('w18', norm_eval=False), 18 + 36 + 72 + 144),
], ids=['DistilledViT', 'MViT', 'HRNet'])
def test_other_networks_with_several_outputs(backbone, width):
    backbone = evaluated(backbone())
    features = backbone(torch.randn(2, 3, 32, 32))
    if len(features) == 1 and isinstance(features[0], Tensor):
        assert pool_features(features, GlobalAveragePooling(), backbone).shape == (2, width)
        return
    with pytest.raises(ValueError, match='PathwayPooling'):
        pool_features(features, None, backbone)
    assert pool_features(features, PathwayPooling(), backbone).shape == (2, width)


def test_the_networks_own_neck_is_accepted():
    backbone = evaluated(HRNet('w18', norm_eval=False))
    necks = nn.Sequential(HRFuseScales([18, 36, 72, 144]).eval(), GlobalAveragePooling())
    features = backbone(torch.randn(2, 3, 64, 64))
    assert pool_features(features, necks, backbone).shape == (2, 2048)


def test_of_declared_stages_the_last_is_pooled():
    backbone = evaluated(ResNet(18, out_indices=(1, 3)))
    features = backbone(torch.randn(2, 3, 32, 32))
    wanted = GlobalAveragePooling()(features)[-1]
    assert torch.equal(pool_features(features, GlobalAveragePooling(), backbone), wanted)
    torch.testing.assert_close(
        pool_features(features, PathwayPooling(), backbone)[:, 128:], wanted)
    with pytest.raises(ValueError, match='returns 2 outputs'):  # the same by one that says nothing
        pool_features(features, GlobalAveragePooling(), network())
    timm = network(timm_model=network(feature_info=SimpleNamespace(out_indices=(1, 3))))
    assert torch.equal(pool_features(features, GlobalAveragePooling(), timm), wanted)


@pytest.mark.parametrize('features, attributes, width', [
    (([torch.ones(2, 8, 4, 4), torch.ones(2, 8)], ), dict(out_scales=[3]), 16),  # mmaction2's MViT
    (([torch.ones(2, 8), torch.ones(2, 6)], ), dict(out_indices=[12]), 14),  # Conformer
    (([torch.ones(2, 8), torch.ones(2, 6)], ) * 2, dict(out_indices=[6, 12]), 14),
])
def test_parts_of_the_last_stage(features, attributes, width):
    backbone = network(**attributes)
    with pytest.raises(ValueError, match='returns 2 outputs'):
        pool_features(features, None, backbone)
    assert pool_features(features, PathwayPooling(), backbone).shape == (2, width)


def test_an_auxiliary_output_that_is_off_is_not_one():
    """InceptionV3 returns (None, features)."""
    assert pool_features((None, torch.ones(2, 8)), None, network()).shape == (2, 8)


@pytest.mark.parametrize('features, pooling, attributes, message', [
    ((4, 5, 8), GlobalAveragePooling(), {}, 'TokenPooling'),  # would give (4, 1)
    ((4, 8, 2, 3, 3), GlobalAveragePooling(), {}, 'dim=3'),
    ((4, 8, 3, 3), GlobalAveragePooling(dim=3), {}, r"GlobalAveragePooling'\)"),
    ((4, 8, 3, 3), TokenPooling(), {}, r"GlobalAveragePooling'\)"),
    ((4, 8, 2, 3, 3), GeneralizedMeanPooling(), {}, 'dim=3'),
    ((4, 8), GlobalAveragePooling(), {}, 'pooling=None'),
    ((4, 8, 3, 3), None, {}, 'GlobalAveragePooling'),
    ((4, 5, 8), None, {}, 'TokenPooling'),
    ((4, 5, 8), GlobalAveragePooling(dim=1), dict(embed_dims=8), 'would pool the 8 channels'),
    ((4, 8, 5), TokenPooling(), dict(embed_dims=8), 'GlobalAveragePooling.*dim=1'),  # MLP-Mixer
    ((4, 3, 3, 8), GlobalAveragePooling(), dict(num_features=8), 'channels first'),  # timm's Swin
    ((4, 5, 8), TokenPooling(), dict(num_extra_tokens=2), 'num_extra_tokens=2'),
    ((4, 5, 8), TokenPooling(), dict(timm_model=SimpleNamespace(num_prefix_tokens=0)),
     'num_extra_tokens=0'),
])
def test_other_axes_than_the_positions_are_refused(features, pooling, attributes, message):
    if 'num_features' in attributes:
        attributes = dict(timm_model=SimpleNamespace(**attributes))
    with pytest.raises(ValueError, match=message):
        pool_features(torch.ones(features), pooling, network(**attributes))


@pytest.mark.parametrize('features', [(), [], dict(last=torch.ones(2, 3)), None])
def test_what_is_no_tensor_is_refused(features):
    with pytest.raises(ValueError, match=r'features of shape|returns 0 outputs'):
        pool_features(features, None, network())


def test_tokens_of_a_vit_without_class_token():
    vit = evaluated(VisionTransformer(
        TINY_ARCH, img_size=32, patch_size=8, with_cls_token=False, out_type='raw'))
    tokens = vit(torch.randn(2, 3, 32, 32))
    with pytest.raises(ValueError, match='num_extra_tokens=0'):
        pool_features(tokens, TokenPooling(), vit)
    assert torch.equal(pool_features(tokens, TokenPooling(num_extra_tokens=0), vit),
                       tokens[0].mean(dim=1))
