"""timm's networks and ours give the same on the same weights."""
from functools import partial

import pytest
import torch
from mmpretrain.models import LinearClsHead
from torch import nn

from tests.checkpoints.conversion.helpers import (
    FP32,
    FP64,
    assert_same,
    detect_family,
    image_encoder,
    load_part,
    randomise,
)
from tests.helpers.models import IMG_SIZE, PATCH, WIDTH, tiny_vicmae
from vicmae_mm.checkpoints.conversion import convert

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
    (dict(qk_norm=True), '8 of 40 tensors do not belong to timm: blocks.0-1.attn.q_norm.weight'),
    (dict(qkv_bias=False), "2 of timm's tensors are missing: blocks.0-1.attn.qkv.bias"),
    (dict(class_token=False, global_pool='avg'), 'missing: cls_token'),
    (dict(class_token=False, reg_tokens=2, global_pool='avg'), 'ViC-MAE needs a class token'),
    (dict(class_token=False, global_pool='map'), 'attn_pool'),
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


class AuthorsViCMAE(timm.models.VisionTransformer):
    """What the authors of MAE and ViC-MAE build on timm's network, written afresh."""

    def __init__(self, decoder_width: int = 16) -> None:
        super().__init__(img_size=IMG_SIZE, patch_size=PATCH, embed_dim=WIDTH, depth=2,
                         num_heads=2, mlp_ratio=2, num_classes=0)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        self.decoder_embed = nn.Linear(WIDTH, decoder_width)
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, 17, decoder_width))
        self.decoder_blocks = nn.ModuleList([timm.models.vision_transformer.Block(
            decoder_width, 2, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-6))])
        self.decoder_norm = nn.LayerNorm(decoder_width, eps=1e-6)
        self.decoder_pred = nn.Linear(decoder_width, 3 * PATCH**2)
        wide = 2 * WIDTH
        self.projector = nn.Sequential(
            nn.Linear(WIDTH, wide), nn.BatchNorm1d(wide), nn.ReLU(),
            nn.Linear(wide, wide), nn.BatchNorm1d(wide), nn.ReLU(), nn.Linear(wide, wide))

    def decode(self, latent, ids_restore):
        x = self.decoder_embed(latent)
        masks = self.mask_token.expand(len(x), ids_restore.shape[1] + 1 - x.shape[1], -1)
        patches = torch.cat((x[:, 1:], masks), dim=1)
        patches = torch.stack([row[order] for row, order in zip(patches, ids_restore, strict=True)])
        x = torch.cat((x[:, :1], patches), dim=1) + self.decoder_pos_embed
        return self.decoder_pred(self.decoder_norm(self.decoder_blocks[0](x)))[:, 1:]


@torch.no_grad()
def test_all_parts_of_the_authors_network():
    theirs = randomise(AuthorsViCMAE()).double()
    assert detect_family(theirs.state_dict()) == 'official-vicmae'
    ours = tiny_vicmae().double()
    ours.load_state_dict(convert(theirs.state_dict()))  # strict: all of it, and nothing else
    ours.eval()
    tokens = theirs.forward_features(IMAGES.double())
    torch.testing.assert_close(ours.extract_feat(IMAGES.double())[0][:, 0], tokens[:, 0], **FP64)
    latent, _, ids_restore = ours.backbone(IMAGES.double())
    torch.testing.assert_close(
        ours.neck(latent, ids_restore), theirs.decode(latent, ids_restore), **FP64)
    torch.testing.assert_close(
        ours.projector(tokens[:, 0]), theirs.projector(tokens[:, 0]), **FP64)
    theirs.load_state_dict(convert(ours.state_dict(), target='official-vicmae'))
