"""DINOv2, CLIP and DeiT III: the networks of timm and transformers and ours give the same."""
import numpy as np
import pytest
import torch

from tests.checkpoints.conversion.helpers import (
    FP32,
    assert_same,
    detect_family,
    load_hugging_face,
    load_part,
    randomise,
)
from vicmae_mm.checkpoints.conversion import convert, convert_with_report
from vicmae_mm.checkpoints.weight_files import read_weights
from vicmae_mm.models import ViCMAEViT

timm = pytest.importorskip('timm')
QUICK = dict(layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')))
CLIP = dict(pre_norm=True, norm_cfg=dict(type='LN', eps=1e-5))
SCALED = dict(layer_scale_init_value=1.)
NO_ROW = 'timm-no_embed_class'
# Networks of timm, the sizes of their patches and of the images, our settings and the family.
TIMM = {
    'vit_small_patch14_dinov2': (14, 70, SCALED, 'timm'),
    'vit_small_patch14_reg4_dinov2': (14, 70, dict(SCALED, num_registers=4), NO_ROW),
    'vit_base_patch16_clip_224': (16, 80, CLIP, 'timm'),
    'vit_base_patch16_clip_quickgelu_224': (16, 80, dict(CLIP, **QUICK), 'timm'),
    'deit3_small_patch16_224': (16, 80, SCALED, NO_ROW),
    'vit_base_patch16_plus_240': (16, 80, SCALED, 'timm'),
    'vit_small_patch16_224': (16, 80, {}, 'timm'),
}


def photos(height, width):
    """Two photos, normalised: a sky over a ground, with an object and the noise of a camera."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    pair = []
    for left in (0.3, 0.6):
        sky = np.stack([90 + 80 * rows, 130 + 60 * rows, 230 - 40 * columns])
        disc = (rows - 0.5)**2 + (columns - left)**2 < 0.03
        pair.append(np.where(disc, [[[200]], [[80]], [[40]]], sky) + rng.normal(0, 4, sky.shape))
    pixels = np.stack(pair).clip(0, 255).round() / 255
    return torch.tensor((pixels - 0.45) / 0.22, dtype=torch.float32)


def timm_network(name, **settings):
    _, size, *_ = TIMM[name]
    return randomise(timm.create_model(
        name, **dict(dict(depth=2, embed_dim=32, num_heads=2, num_classes=0, img_size=size),
                     **settings)))


def masked_encoder(state, patch, size, **settings):
    arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=128)
    model = ViCMAEViT(arch=arch, img_size=size, patch_size=patch, **settings)
    return load_part(model, state, 'backbone.')


def tokens_of(theirs, images):
    """Class token and patches, without registers."""
    tokens = theirs.forward_features(images)
    return torch.cat((tokens[:, :1], tokens[:, theirs.num_prefix_tokens:]), dim=1)


@torch.no_grad()
@pytest.mark.parametrize('name', TIMM)
def test_networks_of_timm(name):
    patch, size, settings, family = TIMM[name]
    theirs = timm_network(name)
    state = theirs.state_dict()
    assert detect_family(state) == family
    ours = masked_encoder(convert(state), patch, size, **settings)
    images = photos(size, size)
    torch.testing.assert_close(ours(images, mask=None)[0], tokens_of(theirs, images), **FP32)
    back = convert(convert(state), target=family)
    assert_same(back, state)
    theirs.load_state_dict(back)
    wrapped = {f'teacher.backbone.{key}': value for key, value in state.items()}
    assert_same(convert(wrapped), convert(state))


@torch.no_grad()
@pytest.mark.parametrize('name', ['vit_small_patch14_dinov2', 'vit_small_patch14_reg4_dinov2',
                                  'deit3_small_patch16_224', 'vit_base_patch16_clip_224'])
@pytest.mark.parametrize('rows', [3, 7])
def test_position_tables_are_resized_as_by_timm(name, rows):
    patch, _, settings, _ = TIMM[name]
    theirs = timm_network(name, dynamic_img_size=True)
    size, state = rows * patch, theirs.state_dict()
    ours = masked_encoder(convert(state, grid=(rows, rows)), patch, size, **settings)
    images = photos(size, size)
    torch.testing.assert_close(ours(images, mask=None)[0], tokens_of(theirs, images), **FP32)
    assert convert(state, grid=(rows, 4))['backbone.pos_embed'].shape[1] == 1 + rows * 4


def cubic(image, length, scale):
    """Bicubic interpolation of the first axis as torch defines it: a = -0.75, edges repeated."""
    kernel = np.poly1d([1.25, -2.25, 0, 1]), np.poly1d([-0.75, 3.75, -6, 3])
    result = []
    for index in range(length):
        place = (index + 0.5) / scale - 0.5
        first = int(np.floor(place)) - 1
        taps = [min(max(first + k, 0), len(image) - 1) for k in range(4)]
        weights = [kernel[int(abs(place - first - k) > 1)](abs(place - first - k))
                   for k in range(4)]
        result.append(np.tensordot(weights, image[taps], 1))
    return np.stack(result)


def test_dinov2_adds_a_tenth_of_a_patch():
    state = timm_network('vit_small_patch14_dinov2').state_dict()
    state['mask_token'] = torch.zeros(1, 32)
    assert detect_family(state) == 'dinov2'
    table = convert_with_report(state, leave_out=True, grid=(3, 4)).state['backbone.pos_embed']
    image = state['pos_embed'][0, 1:].double().unflatten(0, (5, 5)).numpy()
    rows = cubic(image, 3, 3.1 / 5)
    expected = cubic(rows.swapaxes(0, 1), 4, 4.1 / 5).swapaxes(0, 1)
    np.testing.assert_allclose(
        table[0, 1:].unflatten(0, (3, 4)).numpy(), expected, rtol=0, atol=1e-5)
    assert torch.equal(table[:, 0], state['pos_embed'][:, 0])


def test_a_table_that_may_be_of_another_grid_is_refused():
    state = timm_network('vit_small_patch16_224', img_size=128).state_dict()
    with pytest.raises(ValueError, match='positions of 8 x 8 patches, but the model has 4 x 16'):
        convert(state, grid=(4, 16))
    with pytest.raises(ValueError, match='16 x 0 patches'):
        convert(state, grid=(16, 0))


def test_tables_that_mmpretrain_resizes_as_the_source_does_are_left_to_it():
    state = timm_network('vit_small_patch16_224').state_dict()
    assert torch.equal(convert(state, 'mae', grid=(3, 4))['backbone.pos_embed'], state['pos_embed'])


@torch.no_grad()
def test_files_of_the_authors_of_dinov2():
    """timm reads them as well, and adds the class token's position to the token."""
    theirs = timm_network('vit_small_patch14_reg4_dinov2')
    state = {key: value.clone() for key, value in theirs.state_dict().items()}
    state['register_tokens'] = state.pop('reg_token')
    state['pos_embed'] = torch.cat((torch.randn(1, 1, 32), state['pos_embed']), dim=1)
    assert detect_family(state) == 'dinov2'
    released = dict(state, mask_token=torch.zeros(1, 32))
    with pytest.raises(ValueError, match='no place for 1 of the tensors: mask_token'):
        convert(released)
    ours = convert(released, encoder_only=True)
    assert_same(convert(ours, target='dinov2'), state)
    with pytest.raises(ValueError, match=rf'register_tokens.* A whole .*dinov2, {NO_ROW}, '):
        convert(ours, target='timm')
    theirs.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(
        dict(released), theirs))
    encoder = masked_encoder(ours, 14, 70, num_registers=4, **SCALED)
    images = photos(70, 70)
    expected = tokens_of(theirs, images)
    torch.testing.assert_close(encoder(images, mask=None)[0], expected, **FP32)
    assert_same(convert(ours, target=NO_ROW), theirs.state_dict())
    # Registers: antialiased, without an offset, as timm does it.
    smaller = convert(released, encoder_only=True, grid=(3, 3))['backbone.pos_embed']
    torch.testing.assert_close(smaller[:, 1:], timm.layers.resample_abs_pos_embed(
        state['pos_embed'][:, 1:], [3, 3], num_prefix_tokens=0), rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize('kind, registers', [('Dinov2', 0), ('Dinov2WithRegisters', 3)])
def test_dinov2_of_transformers(kind, registers, tmp_path):
    transformers = pytest.importorskip('transformers', minversion='4.56')
    extra = dict(num_register_tokens=registers) if registers else dict(use_mask_token=False)
    config = getattr(transformers, f'{kind}Config')(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=70, patch_size=14,
        **extra)
    theirs = randomise(getattr(transformers, f'{kind}Model')(config))
    theirs.save_pretrained(tmp_path)
    state = read_weights(tmp_path)
    mask_token = {key: state.pop(key) for key in list(state) if key.endswith('mask_token')}
    assert detect_family(state) == detect_family(theirs.state_dict()) == 'hf-dinov2'
    ours = convert(state)
    assert_same(convert({**theirs.state_dict(), **mask_token}, encoder_only=True), ours)
    for size in (70, 42):
        encoder = masked_encoder(
            convert(state, grid=(size // 14, size // 14)), 14, size, num_registers=registers,
            **SCALED)
        images = photos(size, size)
        tokens = theirs(images).last_hidden_state
        tokens = torch.cat((tokens[:, :1], tokens[:, 1 + registers:]), dim=1)
        torch.testing.assert_close(encoder(images, mask=None)[0], tokens, **FP32)
    back = convert(ours, target='hf-dinov2')
    assert_same(back, state)
    load_hugging_face(type(theirs), config, {**back, **mask_token}, tmp_path / 'back')


@pytest.mark.parametrize('name, reason', [
    ('vit_base_patch16_siglip_224', 'attn_pool'),
    ('vit_base_patch16_siglip_gap_224', 'ViC-MAE needs a class token'),
    ('vit_small_patch16_dinov3', 'no rotary positions'),
    ('vit_small_patch16_rope_224', 'no rotary positions'),
    ('eva02_base_patch14_448', 'no rotary positions'),
    ('eva02_small_patch14_336', 'an EVA or a BEiT'),
    ('beit_base_patch16_224', 'no relative positions'),
    ('deit_small_distilled_patch16_224', 'dist_token'),
    ('vit_pe_spatial_tiny_patch16_512', 'Perception Encoder'),
    ('vit_giant_patch14_dinov2', 'gated'),
    ('flexivit_small', 'has 225 rows'),
])
def test_what_cannot_be_exact_is_refused(name, reason):
    with torch.device('meta'):
        state = timm.create_model(name, depth=1).state_dict()
    with pytest.raises(ValueError, match=reason):
        convert(state, encoder_only=True, grid=(15, 15))


def test_deit_iii_is_told_from_a_dinov2_that_is_not_square():
    state = timm_network('vit_small_patch14_dinov2', img_size=(42, 70)).state_dict()
    assert state['pos_embed'].shape[1] == 16 and detect_family(state) == 'timm'
    assert_same(convert(convert(state), target='timm'), state)


def test_incomplete_files_are_refused():
    state = timm_network('vit_small_patch16_224').state_dict()
    del state['patch_embed.proj.bias']
    with pytest.raises(ValueError, match=r'either patch_embed\.proj\.bias or norm_pre'):
        convert(state)


@pytest.mark.parametrize('kind, reason', [
    ('CLIPVisionModel', "of CLIP, timm's files are converted"),
    ('CLIPModel', "of CLIP, timm's files are converted"),
    ('SiglipVisionModel', 'has no class token'),
    ('DINOv3ViTModel', 'no rotary positions'),
])
def test_other_networks_of_transformers(kind, reason):
    transformers = pytest.importorskip('transformers', minversion='4.56')
    config = getattr(transformers, kind.replace('Model', 'Config'))
    settings = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    if kind == 'CLIPModel':
        settings = dict(text_config=settings, vision_config=settings)
    with torch.device('meta'):
        state = getattr(transformers, kind)(config(**settings)).state_dict()
    with pytest.raises(ValueError, match=reason):
        convert(state)
