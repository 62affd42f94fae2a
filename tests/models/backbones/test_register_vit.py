"""Registers, layer scale and pre-norm in encoders of images, of visible patches and of clips."""
import copy

import pytest
import torch
from mmpretrain.models import VisionTransformer

from tests.checkpoints.conversion.helpers import randomise
from vicmae_mm.models import RegisterViT, TokenPooling, ViCMAEViT, VideoViT

ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
SIZES = dict(arch=ARCH, img_size=32, patch_size=8)
OPTIONS = dict(num_registers=3, layer_scale_init_value=1., pre_norm=True,
               layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')))
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def network(kind=RegisterViT, **settings):
    return randomise(kind(**{**SIZES, **OPTIONS, **settings}))


def all_tokens(vit, images):
    """Class token, registers and patches, step by step."""
    patches = vit.patch_embed(images)[0] + vit.pos_embed[:, 1:]
    extra = torch.cat((vit.cls_token + vit.pos_embed[:, :1], vit.register_tokens), dim=1)
    tokens = torch.cat((extra.expand(len(images), -1, -1), patches), dim=1)
    tokens = torch.nn.functional.layer_norm(
        tokens, (32, ), vit.pre_norm.weight, vit.pre_norm.bias, vit.pre_norm.eps)
    for layer in vit.layers:
        tokens = layer(tokens)
    return vit.ln1(tokens)


@torch.no_grad()
def test_registers_take_part_in_the_layers_and_are_in_no_output():
    vit = network(out_type='raw')
    expected = all_tokens(vit, IMAGES)
    patches = expected[:, 4:]
    tokens = vit(IMAGES)[0]
    assert torch.equal(tokens, torch.cat((expected[:, :1], patches), dim=1))
    assert torch.equal(TokenPooling()(tokens), patches.mean(dim=1))
    for out_type, features in (
            ('cls_token', expected[:, 0]), ('avg_featmap', None),
            ('featmap', patches.transpose(1, 2).unflatten(2, (4, 4)))):
        other = network(out_type=out_type)
        features = other.ln2(patches.mean(dim=1)) if features is None else features
        assert torch.equal(other(IMAGES)[0], features), out_type
    vit.register_tokens.zero_()
    assert not torch.allclose(vit(IMAGES)[0], tokens)
    larger = vit(torch.randn(1, 3, 48, 40))[0]
    assert larger.shape == (1, 1 + 6 * 5, 32)


@torch.no_grad()
def test_visible_patches_with_nothing_hidden_are_all():
    vit = network(ViCMAEViT, mask_ratio=0.).double()
    noise = torch.arange(16).expand(2, -1) / 16
    latent, mask, _ = vit(IMAGES.double(), noise=noise)
    torch.testing.assert_close(latent, vit(IMAGES.double(), mask=None)[0], rtol=0, atol=1e-12)
    assert not mask.any()
    vit.mask_ratio = 0.75
    latent, mask, _ = vit(IMAGES.double())
    assert latent.shape == (2, 1 + 4, 32) and mask.sum() == 2 * 12


@torch.no_grad()
@pytest.mark.parametrize('frames', [1, 2])
def test_images_start_a_network_for_clips(frames):
    """The same frame again gives what the image encoder gives, whatever the network has."""
    image = network(out_type='raw')
    clips = VideoViT(**SIZES, **OPTIONS, num_frames=frames, tubelet_size=frames, out_type='raw')
    clips.load_state_dict({**image.state_dict()})
    clip = IMAGES[:, :, None].expand(-1, -1, frames, -1, -1)
    torch.testing.assert_close(clips.eval()(clip), image(IMAGES)[0], rtol=0, atol=1e-5)
    featmap = network(VideoViT, num_frames=4, out_type='featmap')
    assert featmap(torch.randn(1, 3, 4, 32, 32)).shape == (1, 32, 2, 4, 4)


def test_without_registers_it_is_mmpretrains():
    vit = RegisterViT(**SIZES, out_type='raw')
    stock = VisionTransformer(**SIZES, out_type='raw')
    stock.load_state_dict(vit.state_dict())
    assert torch.equal(vit.eval()(IMAGES)[0], (stock.eval() or stock)(IMAGES)[0])


def test_a_copy_has_registers_of_its_own():
    vit = network(out_type='cls_token')
    other = copy.deepcopy(vit)
    other.register_tokens.data.neg_()
    assert not torch.allclose(vit(IMAGES)[0], other(IMAGES)[0])
    other(IMAGES)[0].sum().backward()
    assert other.register_tokens.grad.any() and vit.register_tokens.grad is None


def test_registers_differ_at_first_and_are_frozen_with_the_stem():
    vit = RegisterViT(**SIZES, num_registers=4)
    assert len(vit.register_tokens[0].unique(dim=0)) == 4
    assert not RegisterViT(**SIZES, num_registers=4, frozen_stages=1).register_tokens.requires_grad
    for name in ('register_tokens', 'pre_norm.weight', 'cls_token'):
        assert vit.get_layer_depth(f'backbone.{name}', 'backbone.') == (0, 4)
    assert vit.get_layer_depth('backbone.layers.1.attn.gamma1.weight', 'backbone.') == (2, 4)


@torch.no_grad()
def test_packed_attention_has_layer_scale():
    pytest.importorskip('torch', minversion='2.4')
    from vicmae_mm.models.layers.packed_attention import use_packed_attention
    vit = network(out_type='raw')
    expected = vit(IMAGES)[0]
    assert use_packed_attention(vit) == 2
    torch.testing.assert_close(vit(IMAGES)[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('kind', [RegisterViT, ViCMAEViT, VideoViT])
@pytest.mark.parametrize('number', [-1, 1.5, '4', True, None])
def test_wrong_numbers_are_refused(kind, number):
    with pytest.raises(ValueError, match='must be an integer of 0 or more'):
        kind(**SIZES, num_registers=number)


def test_a_masked_encoder_has_a_class_token():
    with pytest.raises(ValueError, match='takes a class token with the visible patches'):
        ViCMAEViT(**SIZES, with_cls_token=False)
