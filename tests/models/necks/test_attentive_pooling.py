"""AttentivePooling: V-JEPA's block against loops in fp64, and what it refuses."""
import math

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH
from vicmae_mm.models import AttentivePooling

HEADS = 3  # an odd number
CHANNELS = 4 * HEADS


def build(num_clips: int = 1) -> AttentivePooling:
    """In fp64, where no parameter has a value at which a mistake would not show."""
    pooling = AttentivePooling(CHANNELS, HEADS, num_clips).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in pooling.parameters():
        parameter.data.normal_(std=0.5, generator=generator)
    return pooling


def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    return (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt() * layer.weight + layer.bias


def by_hand(pooling: AttentivePooling, tokens: Tensor) -> Tensor:
    """One sample (L, C): q + proj(attention), then q + MLP(norm(q)), head by head."""
    attn, size = pooling.attn, CHANNELS // HEADS
    query = pooling.query[0, 0]
    q = attn.q.weight @ query + attn.q_bias
    normed = [norm(token, pooling.ln1) for token in tokens]
    k = [attn.k.weight @ token for token in normed]  # a bias would add the same to all scores
    v = [attn.v.weight @ token + attn.v_bias for token in normed]
    heads = []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = [math.exp(q[part] @ each[part] / math.sqrt(size)) for each in k]
        heads.append(sum(s * each[part] for s, each in zip(scores, v, strict=True)) / sum(scores))
    query = query + attn.proj.weight @ torch.cat(heads) + attn.proj.bias
    (first, *_), second = pooling.ffn.layers[0], pooling.ffn.layers[1]
    hidden = first.weight @ norm(query, pooling.ln2) + first.bias
    hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    assert hidden.shape == (4 * CHANNELS, )
    return query + second.weight @ hidden + second.bias


def test_equals_the_block_by_hand_and_ignores_the_order_of_tokens():
    pooling, tokens = build(), torch.randn(2, 6, CHANNELS, dtype=torch.float64)
    with torch.no_grad():
        pooled, = pooling(tokens)
        torch.testing.assert_close(
            pooled, torch.stack([by_hand(pooling, each) for each in tokens]), atol=1e-12, rtol=0)
        torch.testing.assert_close(
            pooling(tokens[:, torch.randperm(6)])[0], pooled, atol=1e-12, rtol=0)


@pytest.mark.parametrize('grid', [(2, 3), (2, 1, 3)])
def test_maps_and_clips_are_their_tokens(grid):
    """In tuples, as backbones return them; consecutive clips are one sample."""
    tokens = torch.randn(4, 6, CHANNELS, dtype=torch.float64)
    maps = tokens.transpose(1, 2).unflatten(2, grid)
    with torch.no_grad():
        assert torch.equal(build()((maps, ))[0], build()(tokens)[0])
        torch.testing.assert_close(
            build(num_clips=2)(maps)[0], build()(tokens.reshape(2, 12, CHANNELS))[0],
            atol=1e-12, rtol=0)


def test_initial_weights():
    torch.manual_seed(0)
    pooling = AttentivePooling(192, 3)
    pooling.init_weights()
    pooling.init_weights()  # logged as a mistake, and nothing else
    last = pooling.attn.proj.weight, pooling.ffn.layers[1].weight
    for name, parameter in pooling.named_parameters():
        if parameter.ndim == 1:
            assert torch.equal(parameter, torch.full_like(parameter, float('ln' in name and
                                                                           'weight' in name)))
        else:
            small = any(parameter is each for each in last)
            assert parameter.std().item() == pytest.approx(0.02 / 2 ** (small / 2), rel=0.2), name


@pytest.mark.parametrize('heads, clips', [(5, 1), (0, 1), (-3, 1), (3, 0)])
def test_numbers_that_cannot_work_are_refused(heads, clips):
    with pytest.raises(ValueError, match=f'num_heads={heads} must divide in_channels=12'):
        AttentivePooling(CHANNELS, heads, clips)


@pytest.mark.parametrize('features', [
    torch.zeros(2, CHANNELS),  # vectors, of 'cls_token' and 'avg_featmap'
    torch.zeros(2, 6, CHANNELS + 1), torch.zeros(2, 3, 4, CHANNELS), torch.zeros(2, CHANNELS, 6),
    torch.zeros(3, 6, CHANNELS),  # not in pairs
    (torch.zeros(2, 6, CHANNELS), ) * 2, (), [[torch.zeros(2, 6, CHANNELS)]]])
def test_other_features_are_refused(features):
    with pytest.raises(ValueError, match=r'in_channels=12, num_clips=2\) needs tokens'):
        build(num_clips=2)(features)


VIT = dict(type='vicmae_mm.RegisterViT', arch=TINY_ARCH, img_size=IMG_SIZE, patch_size=PATCH)
BACKBONES = {
    'patches': dict(VIT, type='mmpretrain.VisionTransformer', out_type='featmap'),
    'class token': dict(VIT, type='mmpretrain.VisionTransformer', out_type='raw'),
    'registers': dict(VIT, num_registers=4, out_type='featmap'),
    'swin': dict(
        type='mmpretrain.SwinTransformer', img_size=IMG_SIZE, pad_small_map=True,
        arch=dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4)),
    'resnet': dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8),
}
WIDTHS = dict(swin=64, resnet=64)
TOKENS = {'patches': 16, 'class token': 17, 'registers': 16, 'swin': 1, 'resnet': 1}


@pytest.mark.parametrize('name', BACKBONES)
def test_after_other_backbones(name):
    width = WIDTHS.get(name, WIDTH)
    model = MODELS.build(dict(
        type='mmpretrain.ImageClassifier', backbone=BACKBONES[name],
        neck=dict(type='vicmae_mm.AttentivePooling', in_channels=width, num_heads=2),
        head=dict(type='mmpretrain.LinearClsHead', num_classes=3, in_channels=width)))
    model.init_weights()
    seen = []
    model.neck.ln1.register_forward_hook(lambda *args: seen.append(args[2].shape[1]))
    samples = [DataSample().set_gt_label(label) for label in (0, 2)]
    images = torch.randn(2, 3, IMG_SIZE, IMG_SIZE)
    model.loss(images, samples)['loss'].backward()
    assert seen == [TOKENS[name]]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.neck.parameters())
    assert model.predict(images, samples)[0].pred_score.shape == (3, )
    # mixed precision: rounding of bfloat16
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        half = model(images)
    torch.testing.assert_close(half.float(), model(images), atol=0.02, rtol=0.02)
