"""Maps of patches and the attention of the class token, against the networks' own numbers."""
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.models.utils import resize_pos_embed
from torch import nn

from vicmae_mm.models import Encoder
from vicmae_mm.registry import MODELS

ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=32)
BUILT = dict(arch=ARCH, img_size=(32, 48), patch_size=16)
RAW = dict(BUILT, out_type='raw')
NETWORKS = {
    'ours': dict(type='vicmae_mm.ViCMAEViT', **BUILT),
    'mmpretrain': dict(type='VisionTransformer', **RAW),
    'registers': dict(type='vicmae_mm.RegisterViT', num_registers=3, layer_scale_init_value=1.,
                      **RAW),
    'distilled': dict(type='DistilledVisionTransformer', **RAW),
    'pooled': dict(type='VisionTransformer', **dict(BUILT, out_type='featmap')),
}


def build(**cfg):
    init_default_scope('mmpretrain')
    net = MODELS.build(cfg).double()
    for value in net.parameters():
        nn.init.normal_(value, std=0.3)
    net.eval()  # returns None for mmpretrain's backbones
    return net


def pixels(*sides, batch=2):
    return torch.randint(256, (batch, 3, *sides)).double()


def class_rows(net, images):
    """softmax(q k^T / sqrt(D)) of the last block, written out from what enters it."""
    inputs, attention = [], net.layers[-1].attn
    hook = attention.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    Encoder(net)(images)
    hook.remove()
    x = inputs[0] @ attention.qkv.weight.T + attention.qkv.bias
    heads = []
    for head in range(2):
        q, k = (x[..., start + 16 * head:start + 16 * head + 16] for start in (0, 32))
        heads.append((q @ k.transpose(1, 2) / 4).exp()[:, 0])
    rows = torch.stack(heads, 1)
    return rows / rows.sum(-1, keepdim=True)


@pytest.mark.parametrize('size', [(32, 48), (64, 32)])
@pytest.mark.parametrize('cfg', NETWORKS.values(), ids=NETWORKS)
@torch.no_grad()
def test_maps_are_those_of_the_network(cfg, size):
    net, images = build(**cfg), pixels(*size)
    encoder, rows, columns = Encoder(net), size[0] // 16, size[1] // 16
    features, attention = encoder.feature_map(images), encoder.class_attention(images)
    patches = encoder(images)[:, -rows * columns:]
    for row in range(rows):
        for column in range(columns):
            assert torch.equal(features[:, :, row, column], patches[:, row * columns + column])
    expected = class_rows(net, images)
    torch.testing.assert_close(attention.flatten(2), expected[..., -rows * columns:],
                               atol=1e-12, rtol=1e-9)
    others = expected[..., :-rows * columns].sum(-1)
    torch.testing.assert_close(attention.sum((2, 3)) + others, torch.ones_like(others))


@torch.no_grad()
def test_positions_are_interpolated_as_by_mmpretrain():
    net, images = build(**NETWORKS['ours']), pixels(64, 32)
    larger = build(**dict(NETWORKS['ours'], img_size=(64, 32)))
    weights = dict(net.state_dict(), pos_embed=resize_pos_embed(net.pos_embed, (2, 3), (4, 2)))
    larger.load_state_dict(weights)
    before = net.pos_embed.clone()
    torch.testing.assert_close(Encoder(net).feature_map(images),
                               Encoder(larger).feature_map(images))
    assert torch.equal(net.pos_embed, before)


@torch.no_grad()
def test_packed_attention_shows_the_same():
    pytest.importorskip('torch', minversion='2.4')
    from vicmae_mm.models.layers import packed_attention
    net, images = build(**NETWORKS['ours']), pixels(32, 48)
    before = Encoder(net).class_attention(images)
    assert packed_attention.use_packed_attention(net) == 2
    torch.testing.assert_close(Encoder(net).class_attention(images), before)
    assert not net.layers[-1].attn.qkv._forward_hooks
    half = Encoder(net.bfloat16()).class_attention(images)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.double(), before, atol=0.1, rtol=0.1)


@torch.no_grad()
def test_clips_have_times():
    net = build(type='vicmae_mm.VideoViT', num_frames=4, tubelet_size=2, with_cls_token=True,
                arch=ARCH, img_size=32, patch_size=16, out_type='raw')
    encoder, clips = Encoder(net), torch.randint(256, (1, 3, 6, 32, 64)).double()
    features, tokens = encoder.feature_map(clips), encoder(clips)
    assert features.shape == (1, 32, 3, 2, 4)
    assert torch.equal(features[0, :, 2, 1, 3], tokens[0, -1])
    assert torch.equal(features[0, :, 1, 0, 2], tokens[0, 1 + 8 + 2])
    torch.testing.assert_close(encoder.class_attention(clips)[0].flatten(1),
                               class_rows(net, clips)[0, :, 1:])


@torch.no_grad()
def test_networks_of_stages_have_maps_and_no_class_attention():
    net = build(type='ResNet', depth=18)
    encoder, images = Encoder(net), pixels(64, 100)
    torch.testing.assert_close(encoder.feature_map(images),
                               net((images - encoder.mean.view(3, 1, 1).double())
                                   / encoder.std.view(3, 1, 1))[-1])
    assert encoder.feature_map(images).shape == (2, 512, 2, 4)
    with pytest.raises(ValueError, match='This ResNet has no attention of a class token'):
        encoder.class_attention(images)


@pytest.mark.parametrize('cfg, size, message', [
    (NETWORKS['ours'], (32, 40), 'images of 32 x 40 px are not whole patches of 16 x 16'),
    (dict(NETWORKS['pooled'], patch_size=8), (28, 42), '28 x 42 px are not whole patches of 8 x 8'),
    (dict(NETWORKS['mmpretrain'], with_cls_token=False), (32, 48),
     'has no attention of a class token'),
    (dict(type='BEiTViT', **RAW), (32, 48), 'This BEiTViT has no attention of a class token'),
    (dict(type='MlpMixer', img_size=32, patch_size=16, arch=dict(
        embed_dims=24, num_layers=1, tokens_mlp_dims=8, channels_mlp_dims=16)), (64, 32),
     'MlpMixer was built for 32 px and cannot encode .2, 3, 64, 32.'),
])
def test_what_cannot_be_shown_is_refused(cfg, size, message):
    encoder = Encoder(build(**cfg))
    show = encoder.feature_map if cfg['type'] == 'MlpMixer' else encoder.class_attention
    with pytest.raises(ValueError, match=message):
        show(pixels(*size))
