"""Families are distinguished by the parameter names of real networks."""
import pytest
import torchvision
from mmpretrain.models import ResNet, SwinTransformer, VisionTransformer

from tests.helpers.models import TINY_ARCH, tiny_vicmae
from vicmae_mm.checkpoints.conversion.detect import (
    choose_network,
    describe_family,
    needs_conversion,
)

OFFICIAL = ('cls_token', 'blocks.0.norm1.weight', 'blocks.0.attn.qkv.weight')
HF_VIT = ('vit.embeddings.cls_token', 'vit.embeddings.patch_embeddings.projection.weight',
          'vit.encoder.layer.0.attention.attention.query.weight')


def prefixed(model) -> list[str]:
    return [f'backbone.{key}' for key in model.state_dict()]


@pytest.mark.parametrize('make, family', [
    (lambda: tiny_vicmae().state_dict(), 'a ViC-MAE of this package'),
    (lambda: tiny_vicmae(pooling=None, projector=None, contrast_head=None).state_dict(),
     'an MAE of this package or of mmpretrain'),
    (lambda: tiny_vicmae(decoder=None, head=None).state_dict(),
     'a contrastive ViT of this package'),
    (lambda: prefixed(VisionTransformer(TINY_ARCH, img_size=32)),
     'a Vision Transformer of mmpretrain'),
    (lambda: prefixed(ResNet(18)), 'a ResNet'),
    (lambda: torchvision.models.resnet18().state_dict(), 'a ResNet'),
    (lambda: prefixed(SwinTransformer('tiny')), 'a Swin Transformer'),
    (lambda: torchvision.models.vit_b_32().state_dict(), 'a Vision Transformer of torchvision'),
    (lambda: (*OFFICIAL, 'decoder_blocks.0.norm1.weight'), 'an MAE of its authors'),
    (lambda: (*OFFICIAL, 'decoder_blocks.0.norm1.weight', 'projector.0.weight'),
     "a ViC-MAE of the authors' own code"),
    (lambda: (*OFFICIAL, 'decoder_blocks.0.norm1.weight', 'pos_embed_temporal'),
     'a video MAE (MAE-ST)'),
    (lambda: ('encoder.blocks.0.attn.q_bias', ), 'a VideoMAE of its authors'),
    (lambda: OFFICIAL, 'a Vision Transformer of timm'),
    (lambda: HF_VIT, 'a Vision Transformer of Hugging Face'),
    (lambda: (*HF_VIT, 'decoder.decoder_embed.weight'), 'an MAE of Hugging Face'),
    (lambda: HF_VIT[1:], 'a VideoMAE of Hugging Face'),
    (lambda: ('bert.encoder.layer.0.attention.self.query.weight', ),
     'a Transformer of Hugging Face'),
    (lambda: ('w', 'b'), 'an unknown network (its parameters are called w, b, ...)'),
])
def test_family(make, family):
    assert describe_family(make()) == family


def test_family_of_a_video_network():
    from mmaction.models import VisionTransformer as VideoTransformer
    model = VideoTransformer(img_size=32, embed_dims=32, depth=1, num_heads=2, num_frames=2)
    assert describe_family(prefixed(model)) == 'a video Vision Transformer of mmaction2'


@pytest.mark.parametrize('prefix', [
    '', 'module.', '_orig_mod.', 'module._orig_mod.', 'model.', 'backbone.', 'encoder.',
    'teacher.backbone.', 'student.module.backbone.', 'base_encoder.', 'module.momentum_encoder.',
    'model_ema.', 'encoder_q.', 'target_encoder.', 'visual.trunk.'])
def test_prefixes(prefix):
    keys = [prefix + key for key in OFFICIAL]
    assert choose_network([*keys, 'head.weight']) == (prefix, 'timm')
    assert describe_family(keys) == 'a Vision Transformer of timm' + (
        f' under {prefix!r}' if prefix else '')
    assert needs_conversion(keys)


def test_ours_under_a_prefix():
    keys = prefixed(VisionTransformer(TINY_ARCH, img_size=32))
    assert not needs_conversion(keys)
    assert choose_network(keys) == ('', 'vicmae_mm')
    wrapped = [f'model.{key}' for key in keys]
    assert choose_network(wrapped) == ('model.', 'vicmae_mm') and needs_conversion(wrapped)
    assert not needs_conversion(prefixed(ResNet(18)))


def test_several_networks_are_not_chosen_between():
    keys = [f'{name}.{key}' for name in ('teacher', 'student') for key in OFFICIAL]
    with pytest.raises(ValueError, match=r"It contains 2 networks: .* under 'teacher\.' and .* "
                                         r"under 'student\.'\. Choose one: .*--drop"):
        choose_network(keys)


@pytest.mark.parametrize('key, words', [
    ('stages.0.blocks.0.conv_dw.weight', 'a ConvNeXt'),
    ('backbone.stages.0.0.depthwise_conv.weight', 'a ConvNeXt'),
    ('visual.transformer.resblocks.0.ln_1.weight', 'a CLIP'),
    ('vision_model.encoder.layers.0.layer_norm1.weight', 'a CLIP'),
    ('blocks.0.attn.relative_position_bias_table', 'a BEiT'),
    ('encoder_q.layer1.0.conv1.weight', 'a ResNet'),
])
def test_other_networks(key, words):
    assert describe_family([key]) == words
