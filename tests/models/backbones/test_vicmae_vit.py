"""The masked encoder: masks, initialisation, pretrained weights."""
import pytest
import torch
from mmpretrain.models import MAEViT

from vicmae_mm.models.backbones import ViCMAEViT
from vicmae_mm.models.positions import sincos_position_table
from vicmae_mm.registry import MODELS

TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)


def tiny_vit(**kwargs) -> ViCMAEViT:
    vit = MODELS.build(
        dict(dict(type='vicmae_mm.ViCMAEViT', arch=TINY, img_size=32, patch_size=8), **kwargs))
    vit.init_weights()
    return vit.eval()


@pytest.mark.parametrize('ratio, keep', [(0.75, 4), (0.5, 8), (0.9, 1), (0.0, 16)])
def test_visible_patches_are_those_of_smallest_noise(ratio, keep):
    vit = tiny_vit(mask_ratio=ratio)
    noise = torch.rand(3, 16)
    latent, mask, ids_restore = vit(torch.rand(3, 3, 32, 32), noise=noise)
    assert latent.shape == (3, 1 + keep, 32)
    expected = torch.ones(3, 16)
    expected.scatter_(1, noise.topk(keep, largest=False).indices, 0)
    assert torch.equal(mask, expected)
    assert torch.equal(ids_restore.sort(dim=1).values, torch.arange(16).expand(3, -1))


def test_same_weights_and_noise_give_mmpretrains_output():
    """In fp64: a convolution over all patches sums in a different order than products."""
    vit, stock = tiny_vit(), MAEViT(arch=TINY, img_size=32, patch_size=8)
    stock.load_state_dict(vit.state_dict())
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    torch.manual_seed(5)
    latent, mask, ids_restore = vit.double()(images)
    torch.manual_seed(5)
    stock_latent, stock_mask, stock_restore = stock.double()(images)
    torch.testing.assert_close(latent, stock_latent, rtol=1e-12, atol=1e-12)
    assert torch.equal(mask, stock_mask.float()) and torch.equal(ids_restore, stock_restore)


def test_rectangles():
    """A photo is wider than high: rows and columns are not exchanged anywhere."""
    vit = tiny_vit(img_size=(16, 40), mask_ratio=0.)
    assert torch.equal(vit.pos_embed.data, sincos_position_table((2, 5), 32))
    images = torch.rand(2, 3, 16, 40)
    latent, _, ids_restore = vit(images)
    tokens = latent[:, 1:].take_along_dim(ids_restore[:, :, None], 1)
    torch.testing.assert_close(tokens, vit(images, mask=None)[0][:, 1:])
    with pytest.raises(ValueError, match='built for 16 x 40 px but got 40 x 16'):
        vit(images.transpose(2, 3))


def test_two_images_get_different_masks():
    _, mask, _ = tiny_vit()(torch.rand(2, 3, 32, 32))
    assert not torch.equal(mask[0], mask[1])


@pytest.mark.parametrize('mask', [False, None])
def test_unmasked_pass_returns_all_tokens(mask):
    (tokens, ) = tiny_vit()(torch.rand(2, 3, 32, 32), mask=mask)
    assert tokens.shape == (2, 17, 32)


def test_initialisation_is_the_authors():
    vit = tiny_vit()
    assert not vit.pos_embed.requires_grad
    torch.testing.assert_close(vit.pos_embed.data, sincos_position_table((4, 4), 32))
    for layer in vit.layers:
        for name, parameter in layer.ffn.named_parameters():
            if name.endswith('bias'):
                assert not parameter.any()
    fan_sum = 32 + 3 * 8 * 8  # xavier over the flattened patch
    assert vit.patch_embed.projection.weight.abs().max() <= (6 / fan_sum)**0.5


def test_pretrained_weights_are_not_overwritten(tmp_path):
    source = tiny_vit()
    for parameter in source.parameters():
        parameter.data.normal_()
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'vit.pth')
    loaded = tiny_vit(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'vit.pth')))
    for name, tensor in source.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_mode_switches_return_the_module():
    vit = tiny_vit()
    assert vit.train() is vit and vit.eval() is vit


@pytest.mark.parametrize('kwargs, message', [
    (dict(img_size=30), 'not divisible by patch_size=8: use 24 or 32'),
    (dict(img_size=(32, 68)), 'use 64 or 72'),
    (dict(img_size=(32, 64, 3)), 'for square images'),
    (dict(mask_ratio=1.0), 'mask_ratio=1.0'),
    (dict(mask_ratio=0.99), 'at least one'),
    (dict(patch_cfg=dict(norm_cfg=dict(type='LN'))), 'without a norm'),
    (dict(patch_cfg=dict(stride=4)), 'without overlaps'),
])
def test_wrong_geometry_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ViCMAEViT(**{**dict(arch=TINY, img_size=32, patch_size=8), **kwargs})


def test_wrong_crop_size_is_named():
    with pytest.raises(ValueError, match='built for 32 x 32 px but got 40 x 40'):
        tiny_vit()(torch.rand(1, 3, 40, 40))
