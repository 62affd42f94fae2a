"""timm's networks and ours give the same on the same weights."""
import pytest
import torch
from mmpretrain.models import LinearClsHead

from tests.conversion.helpers import (
    FP32,
    FP64,
    assert_same,
    image_encoder,
    load_part,
    randomise,
)
from tests.helpers.models import IMG_SIZE, PATCH, WIDTH
from vicmae_mm.conversion import convert, detect_family

timm = pytest.importorskip('timm')
IMAGES = torch.randn(2, 3, IMG_SIZE, IMG_SIZE, generator=torch.Generator().manual_seed(1))


def make(**settings):
    return randomise(timm.models.VisionTransformer(
        img_size=IMG_SIZE, patch_size=PATCH, embed_dim=WIDTH, depth=2, num_heads=2, mlp_ratio=2,
        **dict(dict(num_classes=5), **settings)))


@torch.no_grad()
@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, FP32), (torch.float64, FP64)])
def test_tokens_are_equal(dtype, tolerance):
    theirs = make(num_classes=0).to(dtype)
    state = theirs.state_dict()
    assert detect_family(state) == 'timm'
    ours = image_encoder(convert(state))
    images = IMAGES.to(dtype)
    torch.testing.assert_close(ours(images)[0], theirs.forward_features(images), **tolerance)
    assert_same(convert(convert(state), target='timm'), state)


@torch.no_grad()
@pytest.mark.parametrize('pool, settings', [
    ('token', dict(out_type='cls_token')),
    ('avg', dict(out_type='avg_featmap', final_norm=False)),
])
def test_classes_are_equal(pool, settings):
    theirs = make(global_pool=pool)
    converted = convert(theirs.state_dict())
    ours = image_encoder(converted, **settings)
    head = load_part(LinearClsHead(num_classes=5, in_channels=WIDTH), converted, 'head.')
    torch.testing.assert_close(head(ours(IMAGES)), theirs(IMAGES), **FP32)
    assert_same(convert(converted, target='timm'), theirs.state_dict())


@torch.no_grad()
def test_ours_loads_strictly():
    theirs = make()
    ours = convert(make().state_dict())
    for name in ('weight', 'bias'):  # the head of mmpretrain's own Vision Transformers
        ours[f'head.layers.head.{name}'] = ours.pop(f'head.fc.{name}') + 1
    theirs.load_state_dict(convert(ours, target='timm'))
    assert torch.equal(theirs.head.bias, ours['head.layers.head.bias'])


@pytest.mark.parametrize('settings, listed', [
    (dict(init_values=0.1), "4 of 36 tensors are none of timm's: blocks.0-1.ls1.gamma, "
     'blocks.0-1.ls2.gamma'),
    (dict(reg_tokens=2), 'reg_token'),
    (dict(qkv_bias=False), "2 of timm's tensors are missing: blocks.0-1.attn.qkv.bias"),
    (dict(class_token=False, global_pool='avg'), 'missing: cls_token'),
    (dict(pre_norm=True), 'norm_pre'),
])
def test_other_vision_transformers_are_refused(settings, listed):
    with pytest.raises(ValueError) as caught:
        convert(make(**settings).state_dict())
    assert listed in str(caught.value)


def test_swin_is_refused():
    swin = timm.models.SwinTransformer(
        img_size=32, patch_size=4, window_size=2, embed_dim=16, depths=(1, 1), num_heads=(1, 1))
    with pytest.raises(ValueError, match='It looks like a Swin Transformer'):
        convert(swin.state_dict())
