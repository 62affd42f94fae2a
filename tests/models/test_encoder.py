"""Features are the network's own: extra tokens, other layouts, channels, sizes."""
import warnings

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.utils import digit_version
from torch import nn

from vicmae_mm.models import Encoder, VideoViT
from vicmae_mm.models.encoder import CHECKED_BATCHES, IMAGENET_MEAN, IMAGENET_STD
from vicmae_mm.registry import MODELS

MEAN, STD = [1., 2., 3.], [4., 5., 6.]
SIZES = dict(img_size=32, patch_size=16)
ARCH = dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=32)


def build(**cfg):
    init_default_scope('mmpretrain')
    net = MODELS.build(cfg)
    for value in net.parameters():
        nn.init.normal_(value, std=0.1)
    net.eval()  # returns None for mmpretrain's backbones
    return net


def images(size=32):
    return torch.randint(256, (2, 3, size, size)).float()


def normalised(pixels):
    return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


@torch.no_grad()
def check(net, expected, size=32, level='avg'):
    pixels = images(size)
    features = Encoder(net, MEAN, STD)(pixels, level)
    torch.testing.assert_close(features, expected(normalised(pixels)))


def test_distillation_token_is_no_patch():
    net = build(type='DistilledVisionTransformer', arch=ARCH, out_type='raw', **SIZES)
    check(net, lambda x: net(x)[-1][:, 2:].mean(1))
    check(net, lambda x: net(x)[-1][:, 0], level='cls')


def test_tokens_with_the_channels_second():
    net = build(type='MlpMixer', arch=dict(
        embed_dims=24, num_layers=1, tokens_mlp_dims=8, channels_mlp_dims=16), **SIZES)
    assert net(images())[-1].shape == (2, 24, 4)
    check(net, lambda x: net(x)[-1].mean(2))
    check(net, lambda x: net(x)[-1].transpose(1, 2), level='tokens')


def test_square_tokens_of_an_unknown_network_are_refused():
    net = build(type='MlpMixer', arch=dict(
        embed_dims=4, num_layers=1, tokens_mlp_dims=8, channels_mlp_dims=16), **SIZES)
    with pytest.raises(ValueError, match=r'shape \(2, 4, 4\): it is not clear which axis'):
        Encoder(net)(images(), 'avg')


def test_map_of_a_vision_transformer_has_no_class_token():
    net = build(type='VisionTransformer', arch=ARCH, out_type='featmap', **SIZES)
    check(net, lambda x: net(x)[-1].mean((2, 3)))
    with pytest.raises(ValueError, match="has no features of level 'cls'"):
        Encoder(net)(images(), 'cls')


def timm_backbone(name, **settings):
    pytest.importorskip('timm')
    return build(type='TIMMBackbone', model_name=name, **settings)


@pytest.mark.parametrize('registers', [0, 3])
def test_registers_are_no_patches(registers):
    net = timm_backbone('vit_tiny_patch16_224', img_size=32, depth=1, reg_tokens=registers)
    check(net, lambda x: net.timm_model.forward_features(x)[:, 1 + registers:].mean(1))
    assert Encoder(net).image_size == 32


def test_map_with_the_channels_last():
    net = timm_backbone('swin_tiny_patch4_window7_224', img_size=64, window_size=2,
                        depths=(1, 1), num_heads=(1, 1), embed_dim=8)
    assert net(images(64))[-1].shape == (2, 8, 8, 16)
    check(net, lambda x: net(x)[-1].mean((1, 2)), size=64)


class Registers(nn.Module):
    """Tokens with registers of which nothing says how many there are."""

    embed_dims = 8

    def __init__(self):
        super().__init__()
        self.register_tokens = nn.Parameter(torch.zeros(1, 4, 8))

    def forward(self, x):
        return torch.cat((self.register_tokens.expand(len(x), -1, -1), x.new_ones(2, 5, 8)), 1)


def test_extra_tokens_without_a_number_are_refused():
    with pytest.raises(ValueError, match='it has register_tokens, and no num_extra_tokens'):
        Encoder(Registers())(images(), 'avg')


@pytest.mark.parametrize('cfg, message', [
    (dict(type='LeNet5'), r'built for images of 1 channel\(s\): only images of 3'),
])
def test_other_images_are_refused(cfg, message):
    with pytest.raises(ValueError, match=message):
        Encoder(build(**cfg))


def test_rectangles():
    net = Encoder(build(type='VisionTransformer', arch=ARCH, img_size=(32, 64), patch_size=16,
                        out_type='raw'))
    assert net.image_size == (32, 64)
    assert net(torch.rand(2, 3, 32, 64) * 255, 'tokens').shape[:2] == (2, 9)


def test_resolutions_that_belong_together_are_refused():
    with pytest.raises(ValueError, match='The HRNet returns 4 outputs'):
        Encoder(build(type='HRNet', arch='w18'))(images(), 'avg')


@pytest.mark.parametrize('name, hidden', [('MaskFeatViT', 'mask'), ('MILANViT', 'importance')])
def test_masked_networks_hide_nothing(name, hidden):
    net = build(type=name, arch=ARCH, **SIZES)
    check(net, lambda x: net(x, **{hidden: None})[-1][:, 1:].mean(1))


@pytest.mark.parametrize('mean, std', [([float('nan')] * 3, STD), (MEAN, [0., 1., 1.])])
def test_a_normalisation_that_is_none_is_refused(mean, std):
    with pytest.raises(ValueError, match='cannot normalise images'):
        Encoder(build(type='VisionTransformer', arch=ARCH, **SIZES), mean, std)


def test_a_network_of_bgr_images_gets_bgr():
    net = build(type='VisionTransformer', arch=ARCH, out_type='raw', **SIZES)
    pixels = images()
    torch.testing.assert_close(Encoder(net, MEAN, STD, bgr=True)(pixels),
                               Encoder(net, MEAN, STD)(pixels.flip(1)))


def vit():
    return build(type='VisionTransformer', arch=ARCH, out_type='raw', **SIZES)


PHOTO = torch.randint(256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float()
MEANS, STDS = (torch.tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))


def resized(pixels):
    """By a filter that overshoots."""
    return nn.functional.interpolate(pixels, size=(48, 48), mode='bicubic')


def warnings_of(pixels, encoder=None):
    """What two passes warn of."""
    encoder = encoder or Encoder(vit())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        for _ in range(2):
            encoder(pixels, 'cls')
    return [str(warning.message) for warning in caught if 'pixels' in str(warning.message)]


@pytest.mark.parametrize('pixels', [
    PHOTO / 255, PHOTO / 2550, (PHOTO / 255).half(), PHOTO / 127.5 - 1, resized(PHOTO / 255),
    (PHOTO - MEANS) / STDS, (PHOTO.clamp_min(250) - MEANS) / STDS, PHOTO - MEANS, PHOTO * 257,
    (PHOTO * 257).long(), PHOTO[0] / 255
], ids=['scaled', 'dark', 'half', 'to -1', 'resized', 'normalised', 'bright', 'centred', '16 bits',
        'integers', 'one image'])
def test_scaled_pixels_are_warned_of_once(pixels):
    message, = warnings_of(pixels)
    assert 'Pass RGB values of 0 to 255' in message


@pytest.mark.parametrize('pixels', [
    PHOTO, PHOTO.byte(), PHOTO.byte() // 255, PHOTO.long(), PHOTO.bfloat16(), resized(PHOTO),
    PHOTO * 0, PHOTO * 0 + 255, PHOTO // 128, resized(PHOTO // 16)
], ids=['photo', 'bytes', 'dark bytes', 'integers', 'bfloat16', 'resized', 'black', 'white',
        'black with noise', 'night'])
def test_photos_are_not_warned_of(pixels):
    assert warnings_of(pixels) == []


def test_only_the_first_batches_are_looked_at(monkeypatch):
    encoder = Encoder(vit())
    for _ in range(CHECKED_BATCHES):
        assert warnings_of(PHOTO, encoder) == []
    monkeypatch.setattr(torch.Tensor, 'tolist', None)  # would wait for a GPU
    assert warnings_of(PHOTO / 255, encoder) == []


def test_replicas_on_several_devices_warn_once_together():
    encoder = Encoder(vit())
    replicas = [encoder._replicate_for_data_parallel() for _ in range(2)]
    for replica in replicas:
        replica.backbone, replica.mean, replica.std = encoder.backbone, encoder.mean, encoder.std
    assert len(warnings_of(PHOTO / 255, replicas[0]) + warnings_of(PHOTO / 255, replicas[1])) == 1


def test_pixels_without_values_are_not_looked_at():
    network = vit().to('meta')
    with torch.device('meta'):
        assert Encoder(network)(PHOTO.to('meta'), 'cls').shape == (2, 24)


@pytest.mark.parametrize('dtype, tolerance', [
    (torch.bfloat16, 0.05), (torch.double, 1e-6), pytest.param(torch.half, 0.005, marks=
        pytest.mark.skipif(digit_version(torch.__version__) < digit_version('2.3'),
                           reason='torch has no fp16 convolutions for CPUs'))])
def test_other_precisions_normalise_exactly(dtype, tolerance):
    encoder = Encoder(vit())
    expected = encoder(PHOTO)
    encoder = encoder.to(dtype)
    assert encoder.mean.tolist() == pytest.approx(IMAGENET_MEAN)
    for pixels in (PHOTO, PHOTO.byte(), PHOTO.to(dtype)):
        tokens = encoder(pixels)
        assert tokens.dtype == dtype
        torch.testing.assert_close(tokens.float(), expected, atol=tolerance, rtol=tolerance)
    if dtype == torch.double:
        assert encoder(PHOTO.double() + 1e-9).ne(encoder(PHOTO.double())).any()


def test_autocast_and_memory_layouts():
    encoder = Encoder(vit())
    expected = encoder(PHOTO)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(encoder(PHOTO).float(), expected, atol=0.05, rtol=0.05)
    layouts = (PHOTO.contiguous(memory_format=torch.channels_last), PHOTO.double(),
               PHOTO.permute(2, 0, 1, 3).contiguous().permute(1, 2, 0, 3))
    for pixels in layouts:
        torch.testing.assert_close(encoder(pixels), expected)


def test_one_image_is_a_batch_of_one():
    encoder = Encoder(vit())
    torch.testing.assert_close(encoder(PHOTO[0]), encoder(PHOTO[:1]))
    clips = Encoder(VideoViT(arch=ARCH, num_frames=4, out_type='raw', **SIZES).eval())
    torch.testing.assert_close(clips(PHOTO[0]), clips(PHOTO[:1, :, None].repeat(1, 1, 4, 1, 1)))


@pytest.mark.parametrize('inputs, found', [
    (PHOTO.permute(0, 2, 3, 1), r'\[2, 32, 32, 3\]'),
    (PHOTO[0].permute(1, 2, 0), r'\[32, 32, 3\]'), (PHOTO[0, 0], r'\[32, 32\]'),
    (PHOTO[:, :1], r'\[2, 1, 32, 32\]'), (PHOTO[:, :, None], r'\[2, 3, 1, 32, 32\]'),
    (PHOTO.numpy(), r'\[2, 3, 32, 32\]'), ([PHOTO[0]], 'list'), (None, 'NoneType')])
def test_other_inputs_are_refused(inputs, found):
    with pytest.raises(ValueError, match=f'not {found}. For others, use .*extract_features'):
        Encoder(vit())(inputs)
