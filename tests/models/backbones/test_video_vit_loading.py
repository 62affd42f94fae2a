"""Checkpoints of images and of clips, loaded in every way mmengine has."""
from pathlib import Path

import pytest
import torch
from mmengine.runner.checkpoint import load_checkpoint
from mmpretrain.models import VisionTransformer

from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, tiny_vicmae
from vicmae_mm.models import VideoViT
from vicmae_mm.models.positions import resize_joint, resize_temporal
from vicmae_mm.registry import MODELS

SIZES = dict(arch=TINY_ARCH, img_size=IMG_SIZE, patch_size=PATCH, num_frames=4)


def video_vit(**kwargs) -> VideoViT:
    return MODELS.build(dict(type='vicmae_mm.VideoViT', **{**SIZES, **kwargs}))


def drawn(model):
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


def assert_equal(got: dict, expected: dict) -> None:
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(got[key], value), key


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory) -> Path:
    """A pre-training checkpoint of this package."""
    path = tmp_path_factory.mktemp('pretrained') / 'epoch_1.pth'
    torch.save(dict(state_dict=drawn(tiny_vicmae()).state_dict()), path)
    return path


@pytest.fixture(scope='module')
def encoder(pretrained) -> dict[str, torch.Tensor]:
    state = torch.load(pretrained, weights_only=True)['state_dict']
    prefix = 'backbone.'
    return {key[len(prefix):]: value for key, value in state.items() if key.startswith(prefix)}


def inflated(encoder: dict, tubelet: int = 2) -> dict[str, torch.Tensor]:
    """Expected weights of a video encoder with average pooling."""
    expected = {key.replace('ln1', 'ln2') if key.startswith('ln1') else key: value
                for key, value in encoder.items()}
    flat = encoder['patch_embed.projection.weight']
    expected['patch_embed.projection.weight'] = torch.stack([flat / tubelet] * tubelet, dim=2)
    expected['temporal_embed'] = torch.zeros(1, 4 // tubelet, 32)
    return expected


@pytest.mark.parametrize('tubelet', [1, 2, 4])
def test_pretrained_by_init_cfg(tubelet, pretrained, encoder):
    model = video_vit(tubelet_size=tubelet, init_cfg=dict(
        type='Pretrained', checkpoint=str(pretrained), prefix='backbone.'))
    model.init_weights()
    assert_equal(model.state_dict(), inflated(encoder, tubelet))


def test_load_from_into_a_recognizer(pretrained, encoder):
    model = MODELS.build(dict(
        type='mmaction.Recognizer3D', backbone=dict(type='vicmae_mm.VideoViT', **SIZES),
        cls_head=dict(type='mmaction.TimeSformerHead', num_classes=3, in_channels=32),
        data_preprocessor=dict(type='mmaction.ActionDataPreprocessor')))
    head = model.cls_head.fc_cls.weight.clone()
    load_checkpoint(model, str(pretrained))  # as Runner does with load_from
    assert_equal(model.backbone.state_dict(), inflated(encoder))
    assert torch.equal(model.cls_head.fc_cls.weight, head)


def test_class_token_keeps_the_final_norm(encoder):
    model = video_vit(out_type='cls_token')
    model.load_state_dict(encoder)
    assert torch.equal(model.ln1.weight, encoder['ln1.weight'])


def test_image_checkpoint_itself_is_not_changed(encoder):
    before = {key: value.clone() for key, value in encoder.items()}
    video_vit().load_state_dict(encoder)
    assert_equal(encoder, before)


@pytest.mark.parametrize('kwargs', [
    dict(), dict(out_type='cls_token'), dict(separable_position=False),
    dict(with_cls_token=False), dict(final_norm=True), dict(num_frames=2)], ids=str)
def test_own_checkpoint_loads_bit_identically(kwargs):
    source, model = drawn(video_vit(**kwargs)), video_vit(**kwargs)
    model.load_state_dict(source.state_dict())
    assert_equal(model.state_dict(), source.state_dict())


@pytest.mark.parametrize('separable', [True, False])
def test_without_class_token_its_weights_are_dropped(separable, encoder):
    model = video_vit(with_cls_token=False, separable_position=separable)
    model.load_state_dict(encoder)
    expected = encoder['pos_embed'][:, 1:]
    if not separable:
        expected = expected.repeat(1, 2, 1)  # two tubelets
    assert torch.equal(model.pos_embed, expected)


def test_image_positions_fill_a_joint_table(encoder):
    model = video_vit(separable_position=False)
    model.load_state_dict(encoder)
    assert not hasattr(model, 'temporal_embed')
    patches = encoder['pos_embed'][:, 1:]
    assert torch.equal(model.pos_embed, torch.cat(
        (encoder['pos_embed'][:, :1], patches, patches), dim=1))


def test_image_positions_of_another_size_as_mmpretrain(encoder):
    model = video_vit(img_size=48, with_cls_token=False)
    image = VisionTransformer(arch=TINY_ARCH, img_size=48, patch_size=PATCH)
    model.load_state_dict(encoder)
    image.load_state_dict(encoder)
    assert torch.equal(model.pos_embed, image.pos_embed[:, 1:])


def test_clips_of_another_size_and_length():
    source, model = drawn(video_vit(num_frames=8)), video_vit(num_frames=4, img_size=48)
    model.load_state_dict(source.state_dict())
    image = VisionTransformer(arch=TINY_ARCH, img_size=48, patch_size=PATCH)
    image.load_state_dict(dict(pos_embed=source.pos_embed), strict=False)
    assert torch.equal(model.pos_embed, image.pos_embed)
    assert torch.equal(model.temporal_embed, resize_temporal(source.temporal_embed, 2))
    # loading it at its own size and encoding other clips interpolates likewise
    assert torch.equal(source.position_table((2, 6, 6)), model.position_table((2, 6, 6)))


@pytest.mark.parametrize('kwargs', [dict(num_frames=6), dict(img_size=48)], ids=str)
def test_joint_table_of_another_length_or_size(kwargs):
    joint = dict(separable_position=False)
    source, model = drawn(video_vit(**joint)), video_vit(**joint, **kwargs)
    model.load_state_dict(source.state_dict())
    assert torch.equal(model.pos_embed, resize_joint(source.pos_embed, (2, 4, 4), model.grid, 1))


def test_ambiguous_joint_table_is_refused():
    # 4 x 4 x 4 places, or 1 x 8 x 8
    source = video_vit(separable_position=False, num_frames=8)
    model = video_vit(separable_position=False, num_frames=2)
    with pytest.raises(ValueError, match=r'of \(1, 8, 8\) or of \(4, 4, 4\)'):
        model.load_state_dict(source.state_dict())


def test_what_does_not_fit_is_left_to_the_loader(encoder):
    model = video_vit(arch={**TINY_ARCH, 'embed_dims': 64})
    with pytest.raises(RuntimeError, match='size mismatch for cls_token'):
        model.load_state_dict(encoder)
    without_class_token = drawn(video_vit(with_cls_token=False)).state_dict()
    with pytest.raises(RuntimeError, match=r'Missing key.*cls_token'):
        video_vit().load_state_dict(without_class_token)
