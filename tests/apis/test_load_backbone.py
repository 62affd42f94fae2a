"""The encoder of a checkpoint: its network, its weights, its normalisation."""
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain import FeatureExtractor
from mmpretrain.models import VisionTransformer
from PIL import Image

from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR, save_run
from vicmae_mm.apis import extract_features, load_backbone
from vicmae_mm.checkpoints.conversion import convert
from vicmae_mm.checkpoints.weight_files import read_weights, write_weights
from vicmae_mm.models import VideoViT
from vicmae_mm.registry import MODELS

IMAGENET_MEAN = [123.675, 116.28, 103.53]
SIZES = dict(img_size=IMG_SIZE, patch_size=PATCH)


@pytest.fixture
def images():
    return torch.randint(256, (2, 3, IMG_SIZE, IMG_SIZE), dtype=torch.uint8)


def save(path: Path, backbone: torch.nn.Module, convert_to: str | None = None) -> Path:
    """Give a backbone weights that differ everywhere and save them."""
    for value in backbone.parameters():
        torch.nn.init.normal_(value, std=0.05)
    weights = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    if convert_to is None:
        torch.save(dict(state_dict=weights), path)
    else:
        torch.save(convert(weights, 'vicmae_mm', convert_to), path)
    return path


def save_classifier(folder: Path, model: dict, scope: str = 'mmpretrain') -> tuple[Path, object]:
    """A fine-tuned checkpoint with its config; returns it and the model in eval mode."""
    Config(dict(default_scope=scope, model=model)).dump(folder / 'config.py')
    built = MODELS.build(model)
    for value in built.parameters():
        torch.nn.init.normal_(value, std=0.05)
    torch.save(dict(state_dict=built.state_dict()), folder / 'epoch_1.pth')
    built.eval()
    return folder / 'epoch_1.pth', built


def image_classifier(**backbone) -> dict:
    backbone = dict(dict(type='mmpretrain.VisionTransformer', arch=TINY_ARCH, **SIZES), **backbone)
    return dict(
        type='mmpretrain.ImageClassifier', backbone=backbone,
        data_preprocessor=dict(
            type='mmpretrain.ClsDataPreprocessor', mean=[1., 2., 3.], std=[4., 5., 6.]),
        head=dict(type='mmpretrain.LinearClsHead', num_classes=3, in_channels=WIDTH))


def normalised(images):
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ([1., 2., 3.], [4., 5., 6.]))
    return (images - mean) / std


def test_pretrained_checkpoint_becomes_a_plain_vit(tmp_path, images):
    checkpoint = save_run(tmp_path / 'run')
    encoder = load_backbone(checkpoint)
    assert type(encoder.backbone) is VisionTransformer and encoder.image_size == IMG_SIZE
    assert not any(module.training for module in encoder.modules())
    model = tiny_vicmae(data_preprocessor=PREPROCESSOR)
    model.load_state_dict(torch.load(checkpoint, weights_only=True)['state_dict'])
    mean, std = (torch.tensor(PREPROCESSOR[key]).view(3, 1, 1) for key in ('mean', 'std'))
    tokens = model.extract_feat((images - mean) / std)[-1]
    assert torch.equal(encoder(images), tokens)
    assert torch.equal(encoder.backbone((images - mean) / std)[-1], tokens)


@pytest.mark.parametrize('backbone, level', [
    (dict(out_type='cls_token'), 'cls'),
    (dict(out_type='avg_featmap', final_norm=False), 'avg'),  # MAE's global pool
    (dict(out_type='cls_token', frozen_stages=2), 'cls'),
])
def test_what_the_head_of_a_fine_tuned_classifier_sees(tmp_path, images, backbone, level):
    checkpoint, model = save_classifier(tmp_path, image_classifier(**backbone))
    expected = model.extract_feat(normalised(images))[-1]
    features = load_backbone(checkpoint)(images, level)
    assert torch.equal(features, expected) and features.shape == (2, WIDTH)


@pytest.mark.parametrize('to_rgb', [False, True])
def test_order_of_channels_is_that_of_training(tmp_path, to_rgb):
    pixels = np.random.default_rng(0).integers(0, 256, (37, 37, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    steps = [dict(type='LoadImageFromFile'), dict(type='CenterCrop', crop_size=IMG_SIZE),
             dict(type='PackInputs')]
    model = image_classifier()
    model['data_preprocessor']['to_rgb'] = to_rgb
    checkpoint, _ = save_classifier(tmp_path, model)
    loader = dict(dataset=dict(type='CustomDataset', pipeline=steps))
    config = Config(dict(default_scope='mmpretrain', model=model, train_dataloader=loader,
                         test_dataloader=loader))
    config.dump(tmp_path / 'config.py')
    theirs = FeatureExtractor(str(tmp_path / 'config.py'), pretrained=str(checkpoint))
    expected = theirs(str(tmp_path / 'a.png'))[0][-1].flatten()
    ours = extract_features(checkpoint, tmp_path / 'a.png').features[0]
    torch.testing.assert_close(ours, expected)


def test_resnet_of_its_config(tmp_path, images):
    model = dict(
        type='mmaction.Recognizer2D',
        data_preprocessor=dict(
            type='mmaction.ActionDataPreprocessor', mean=[1., 2., 3.], std=[4., 5., 6.]),
        backbone=dict(type='mmaction.ResNet', depth=18),
        cls_head=dict(type='mmaction.TSNHead', num_classes=3, in_channels=512))
    checkpoint, built = save_classifier(tmp_path, model, 'mmaction')
    encoder = load_backbone(checkpoint)
    expected = built.backbone(normalised(images)).mean((2, 3))
    torch.testing.assert_close(encoder(images, 'avg'), expected)
    assert encoder.image_size == 224
    with pytest.raises(ValueError, match=r"ResNet without class token.* use 'avg'"):
        encoder(images, 'cls')
    (tmp_path / 'config.py').unlink()
    with pytest.raises(ValueError, match=r'Cannot infer .*looks like a ResNet.*--config'):
        load_backbone(checkpoint)


@pytest.mark.parametrize('arch, heads', [('deit-t', 3), ('deit-s', 6)])
def test_standard_vit_is_inferred_from_its_tensors(tmp_path, images, arch, heads):
    backbone = VisionTransformer(arch, out_type='raw', **SIZES)
    if arch == 'deit-s':  # a ViT-S has 6 heads or 12
        (tmp_path / 'config.json').write_text('{"num_attention_heads": 6}')
    encoder = load_backbone(save(tmp_path / 'a.pth', backbone))
    assert encoder.backbone.layers[0].attn.num_heads == heads
    assert encoder.mean.tolist() == pytest.approx(IMAGENET_MEAN)
    inputs = (images - encoder.mean.view(3, 1, 1)) / encoder.std.view(3, 1, 1)
    backbone.eval()
    assert torch.equal(encoder(images), backbone(inputs)[-1])


def test_two_kinds_of_vit_s_are_not_guessed_between(tmp_path):
    checkpoint = save(tmp_path / 'a.pth', VisionTransformer('deit-s', **SIZES))
    with pytest.raises(ValueError, match=r'has 6 .* or 12 \(MoCo v3\) attention heads'):
        load_backbone(checkpoint)


def test_heads_of_another_width_are_not_guessed(tmp_path):
    backbone = VisionTransformer(TINY_ARCH, **SIZES)
    with pytest.raises(ValueError, match=r'32 wide and 2 deep is not a standard one.*'
                                         r'Name the config'):
        load_backbone(save(tmp_path / 'a.pth', backbone))


def clips(frames):
    return torch.randint(256, (2, 3, frames, IMG_SIZE, IMG_SIZE), dtype=torch.uint8)


@pytest.mark.parametrize('settings', [
    dict(num_frames=4), dict(num_frames=16, separable_position=False, with_cls_token=False)])
def test_video_network_is_inferred_from_its_tensors(tmp_path, settings):
    backbone = VideoViT('deit-t', **SIZES, **settings)
    encoder = load_backbone(save(tmp_path / 'a.pth', backbone))
    assert type(encoder.backbone) is VideoViT and encoder.num_frames == settings['num_frames']
    inputs = clips(settings['num_frames'])
    mean, std = (each.view(3, 1, 1, 1) for each in (encoder.mean, encoder.std))
    expected = backbone.eval()((inputs - mean) / std)
    assert torch.equal(encoder(inputs, 'avg'), expected)


def test_video_network_of_its_config(tmp_path):
    model = dict(
        type='mmaction.Recognizer3D',
        data_preprocessor=dict(
            type='mmaction.ActionDataPreprocessor', mean=[1., 2., 3.], std=[4., 5., 6.],
            format_shape='NCTHW'),
        backbone=dict(type='vicmae_mm.VideoViT', arch=TINY_ARCH, num_frames=4, **SIZES),
        cls_head=dict(type='mmaction.TimeSformerHead', num_classes=2, in_channels=WIDTH))
    checkpoint, built = save_classifier(tmp_path, model, 'mmaction')
    inputs = clips(4)
    expected = built.backbone(normalised(inputs.transpose(1, 2)).transpose(1, 2))
    torch.testing.assert_close(load_backbone(checkpoint)(inputs, 'avg'), expected)


def test_other_network_for_clips_is_refused(tmp_path):
    model = dict(
        type='mmaction.Recognizer3D', backbone=dict(type='mmaction.C3D'),
        data_preprocessor=dict(type='mmaction.ActionDataPreprocessor'),
        cls_head=dict(type='mmaction.I3DHead', num_classes=2, in_channels=4096))
    Config(dict(default_scope='mmaction', model=model)).dump(tmp_path / 'config.py')
    torch.save({'backbone.conv1a.conv.weight': torch.zeros(1)}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='is a C3D for clips'):
        load_backbone(tmp_path / 'a.pth')


@pytest.mark.parametrize('family, mean, std', [
    ('timm', 127.5, 127.5), ('hf-vit', 127.5, 127.5), ('mae_st', 0.45 * 255, 0.225 * 255)])
def test_other_families_are_converted_and_keep_their_normalisation(tmp_path, family, mean, std):
    video = family == 'mae_st'
    backbone = VideoViT('deit-t', num_frames=4, out_type='raw', **SIZES) if video else (
        VisionTransformer('deit-t', out_type='raw', **SIZES))
    encoder = load_backbone(save(tmp_path / 'a.pth', backbone, family))
    assert encoder.mean.tolist() == pytest.approx([mean] * 3)
    inputs = clips(4) if video else clips(1)[:, :, 0]
    backbone.eval()
    expected = backbone((inputs - mean) / std)
    torch.testing.assert_close(encoder(inputs), expected if video else expected[-1])


def test_image_is_a_still_clip(tmp_path, images):
    backbone = VideoViT('deit-t', num_frames=4, out_type='raw', **SIZES)
    encoder = load_backbone(save(tmp_path / 'a.pth', backbone))
    clip = images[:, :, None].repeat(1, 1, encoder.num_frames, 1, 1)
    assert torch.equal(encoder(images), encoder(clip))


@pytest.mark.parametrize('prefix', ['_orig_mod.', 'teacher.backbone.', 'backbone.'])
def test_weights_under_a_prefix(tmp_path, images, prefix):
    checkpoint = save(tmp_path / 'a.pth', VisionTransformer('deit-t', **SIZES), 'timm')
    weights = {prefix + key: value for key, value in torch.load(checkpoint).items()}
    torch.save(dict(state_dict=weights, epoch=1), tmp_path / 'b.pth')
    assert torch.equal(load_backbone(tmp_path / 'b.pth')(images), load_backbone(checkpoint)(images))


def test_an_assumed_normalisation_is_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(sys.modules['vicmae_mm.apis.load_backbone'], 'print_log',
                        lambda message, *_: said.append(message))
    load_backbone(save(tmp_path / 'a.pth', VisionTransformer('deit-t', **SIZES), 'timm'))
    assert 'a.pth does not say how images were normalised' in said[0] and '127.5' in said[0]


def test_safetensors(tmp_path, images):
    checkpoint = save(tmp_path / 'a.pth', VisionTransformer('deit-t', out_type='raw', **SIZES))
    write_weights(tmp_path / 'a.safetensors', read_weights(checkpoint))
    features = load_backbone(tmp_path / 'a.safetensors')(images)
    assert torch.equal(features, load_backbone(checkpoint)(images))


def test_given_config_decides_the_normalisation(tmp_path, images):
    backbone = VisionTransformer('deit-t', out_type='raw', **SIZES)
    checkpoint = save(tmp_path / 'a.pth', backbone, 'timm')
    model = image_classifier(arch='deit-t')
    Config(dict(default_scope='mmpretrain', model=model)).dump(tmp_path / 'config.py')
    assert load_backbone(checkpoint).mean.tolist() == [127.5] * 3  # not of a folder's neighbour
    encoder = load_backbone(checkpoint, tmp_path / 'config.py')
    assert encoder.mean.tolist() == [1, 2, 3] and encoder.std.tolist() == [4, 5, 6]


@pytest.mark.parametrize('change, message', [
    (lambda weights: weights.pop('backbone.layers.1.ln1.bias'),
     r'1 are missing, such as backbone\.layers\.1\.ln1\.bias'),
    (lambda weights: weights.update({'backbone.extra': torch.zeros(1)}),
     r'1 of the file are not in the model, such as backbone\.extra'),
    (lambda weights: weights.update({'backbone.cls_token': torch.zeros(1, 1, 8)}),
     r'backbone\.cls_token has shape \(1, 1, 8\) in the file'),
])
def test_every_tensor_is_the_checkpoints(tmp_path, change, message):
    checkpoint = save_run(tmp_path / 'run')
    content = torch.load(checkpoint, weights_only=True)
    change(content['state_dict'])
    torch.save(content, checkpoint)
    with pytest.raises(ValueError, match=message):
        load_backbone(checkpoint)


@pytest.mark.parametrize('change, message', [
    (lambda value: value.index_fill(0, torch.tensor(0), float('nan')), 'is not finite'),
    (lambda value: value.to(torch.int8), 'is of torch.int8'),
    (lambda value: value.to_sparse(), 'torch.sparse_coo, on cpu'),
    (lambda value: value.to('meta'), 'torch.strided, on meta')],
    ids=['nan', 'int8', 'sparse', 'meta'])
def test_unusable_weights_are_refused(tmp_path, change, message):
    checkpoint = save_run(tmp_path / 'run')
    content = torch.load(checkpoint, weights_only=True)
    key = 'backbone.layers.1.ln1.bias'
    content['state_dict'][key] = change(content['state_dict'][key])
    torch.save(content, checkpoint)
    with pytest.raises(ValueError, match=f'epoch_1.pth: {key} .*{message}'):
        load_backbone(checkpoint)


def test_half_precision_is_read(tmp_path, images):
    checkpoint = save_run(tmp_path / 'run')
    content = torch.load(checkpoint, weights_only=True)
    half = {key: value.bfloat16() for key, value in content['state_dict'].items()}
    torch.save(half, checkpoint.with_name('half.pth'))
    torch.save({key: value.float() for key, value in half.items()}, checkpoint)
    features = load_backbone(checkpoint.with_name('half.pth'))(images)
    assert torch.equal(features, load_backbone(checkpoint)(images))


def test_tensors_without_elements_are_no_network(tmp_path):
    checkpoint = save_run(tmp_path / 'run')
    content = torch.load(checkpoint, weights_only=True)
    torch.save({key: value[:0] for key, value in content['state_dict'].items() if value.ndim},
               tmp_path / 'empty.pth')
    with pytest.raises(ValueError, match=r'Cannot infer the architecture of .*empty\.pth'):
        load_backbone(tmp_path / 'empty.pth')


def test_wrong_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no checkpoint .*a\.pth'):
        load_backbone(tmp_path / 'a.pth')
    torch.save({'fc.weight': torch.zeros(2)}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'a\.pth: It looks like an unknown network'):
        load_backbone(tmp_path / 'a.pth')
    checkpoint = save_run(tmp_path / 'run')
    with pytest.raises(FileNotFoundError, match=r'no config .*none\.py'):
        load_backbone(checkpoint, tmp_path / 'none.py')
