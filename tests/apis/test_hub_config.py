"""What the JSON files of the Hub say is believed."""
import json

import pytest
import torch

from tests.checkpoints.conversion.helpers import randomise
from vicmae_mm.apis import extract_features, load_backbone
from vicmae_mm.commands.transfer.cached_features import checkpoint_key

transformers = pytest.importorskip('transformers', minversion='4.56')
SIZES = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
             image_size=32, patch_size=16)
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]
PREPROCESSOR = dict(do_normalize=True, do_rescale=True, rescale_factor=1 / 255, image_mean=MEAN,
                    image_std=STD)


def save(folder, preprocessor=PREPROCESSOR, **settings):
    """A network in the folder format of the Hub; returns it."""
    net = randomise(transformers.ViTModel(transformers.ViTConfig(**{**SIZES, **settings})))
    net.save_pretrained(folder)
    if preprocessor:
        (folder / 'preprocessor_config.json').write_text(json.dumps(preprocessor))
    return net.eval()


def images(size=32):
    return torch.randint(256, (2, 3, size, size)).float()


def normalised(pixels, mean=MEAN, std=STD):
    return (pixels / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


@torch.no_grad()
@pytest.mark.parametrize('settings', [
    dict(), dict(num_attention_heads=12), dict(layer_norm_eps=0.1),
    dict(patch_size=14, image_size=28),
    dict(hidden_size=384, num_hidden_layers=12, num_attention_heads=12, patch_size=32),
], ids=['plain', 'heads', 'eps', 'patch 14', 'moco v3'])
def test_tokens_are_the_networks_own(tmp_path, settings):
    net = save(tmp_path, **settings)
    encoder = load_backbone(tmp_path)
    pixels = images(encoder.image_size)
    torch.testing.assert_close(
        encoder(pixels), net(normalised(pixels)).last_hidden_state, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('preprocessor, mean, std', [
    (dict(do_normalize=False), [0.] * 3, [1.] * 3),
    (dict(do_rescale=False, image_mean=[1, 2, 3], image_std=[4, 5, 6]),
     [1 / 255, 2 / 255, 3 / 255], [4 / 255, 5 / 255, 6 / 255]),
    (dict(image_mean=MEAN, image_std=STD, rescale_factor=1 / 127.5),
     [value / 2 for value in MEAN], [value / 2 for value in STD]),
])
def test_preprocessing(tmp_path, preprocessor, mean, std):
    net = save(tmp_path, preprocessor)
    pixels = images()
    torch.testing.assert_close(load_backbone(tmp_path)(pixels),
                               net(normalised(pixels, mean, std)).last_hidden_state)


@torch.no_grad()
def test_clips(tmp_path):
    net = randomise(transformers.VideoMAEModel(transformers.VideoMAEConfig(
        **SIZES, num_frames=8, use_mean_pooling=False))).eval()
    net.save_pretrained(tmp_path)
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(PREPROCESSOR))
    encoder = load_backbone(tmp_path)
    assert encoder.num_frames == 8 and encoder.image_size == 32
    clip = torch.randint(256, (1, 8, 3, 32, 32)).float()
    torch.testing.assert_close(encoder(clip.transpose(1, 2)),
                               net(normalised(clip)).last_hidden_state)


@torch.no_grad()
def test_timm(tmp_path):
    timm = pytest.importorskip('timm')
    net = randomise(timm.create_model('vit_small_patch16_224', img_size=32, num_classes=0))
    torch.save(net.state_dict(), tmp_path / 'pytorch_model.bin')
    (tmp_path / 'config.json').write_text(json.dumps(dict(
        architecture='vit_small_patch16_224',
        pretrained_cfg=dict(mean=MEAN, std=STD, input_size=[3, 32, 32]))))
    pixels = images()
    torch.testing.assert_close(load_backbone(tmp_path)(pixels),
                               net.eval().forward_features(normalised(pixels)))


CLIP = ('vit_base_patch16_clip_224', 'vit_base_patch16_clip_quickgelu_224')


@torch.no_grad()
@pytest.mark.parametrize('name', [
    *CLIP, 'vit_small_patch14_dinov2', 'vit_small_patch14_reg4_dinov2', 'deit3_small_patch16_224'])
def test_public_networks_of_timm(name, tmp_path):
    timm = pytest.importorskip('timm')
    size = 3 * (14 if '14' in name else 16)
    net = randomise(timm.create_model(
        name, img_size=size, num_classes=0, depth=12, embed_dim=192, num_heads=3))
    torch.save(net.state_dict(), tmp_path / 'pytorch_model.bin')
    config = dict(architecture=name,
                  pretrained_cfg=dict(mean=MEAN, std=STD, input_size=[3, size, size]))
    (tmp_path / 'config.json').write_text(json.dumps(config))
    pixels = images(size)
    tokens = net.forward_features(normalised(pixels))
    tokens = torch.cat((tokens[:, :1], tokens[:, net.num_prefix_tokens:]), dim=1)
    encoder = load_backbone(tmp_path)
    torch.testing.assert_close(encoder(pixels), tokens)
    torch.testing.assert_close(encoder(pixels, 'avg'), tokens[:, 1:].mean(dim=1))


def test_the_activation_of_a_clip_is_asked_for(tmp_path):
    timm = pytest.importorskip('timm')
    net = timm.create_model(CLIP[0], img_size=32, num_classes=0, embed_dim=192, num_heads=3)
    torch.save(net.state_dict(), tmp_path / 'clip.bin')
    with pytest.raises(ValueError, match=r'its tensors do not show.*"hidden_act"'):
        load_backbone(tmp_path / 'clip.bin')
    for name, kind in (('gelu', 'GELU'), ('quick_gelu', 'QuickGELU')):
        (tmp_path / 'config.json').write_text(json.dumps(dict(hidden_act=name)))
        encoder = load_backbone(tmp_path / 'clip.bin')
        assert type(encoder.backbone.layers[0].ffn.layers[0][1]).__name__ == kind
        assert encoder.backbone.ln1.eps == 1e-5
        assert encoder.mean.tolist() == pytest.approx([122.771, 116.746, 104.094], abs=1e-3)


@torch.no_grad()
@pytest.mark.parametrize('kind', ['Dinov2', 'Dinov2WithRegisters'])
def test_folders_of_dinov2(kind, tmp_path):
    net = randomise(getattr(transformers, f'{kind}Model')(getattr(transformers, f'{kind}Config')(
        **dict(SIZES, patch_size=14, image_size=42), mlp_ratio=2)))
    net.save_pretrained(tmp_path)
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(PREPROCESSOR))
    encoder = load_backbone(tmp_path)
    pixels = images(42)
    tokens = net(normalised(pixels)).last_hidden_state
    torch.testing.assert_close(
        encoder(pixels), torch.cat((tokens[:, :1], tokens[:, -9:]), dim=1), rtol=1e-4, atol=1e-5)


def test_heads_of_a_vit_s_are_asked_for(tmp_path):
    save(tmp_path, hidden_size=384, num_hidden_layers=12, num_attention_heads=12,
         intermediate_size=1536)
    (tmp_path / 'config.json').unlink()
    message = r'384 wide and 12 deep has 6 .* or 12 \(MoCo v3\) .*"num_attention_heads"'
    with pytest.raises(ValueError, match=message):
        load_backbone(tmp_path)
    for heads in (6, 12):
        (tmp_path / 'config.json').write_text(json.dumps(dict(num_attention_heads=heads)))
        assert load_backbone(tmp_path).backbone.layers[0].attn.num_heads == heads


@pytest.mark.parametrize('content, message', [
    ('{', 'cannot be used'), ('[1]', 'cannot be used'), ('[' * 9999, 'cannot be used'),
    (dict(num_attention_heads=5), "'num_attention_heads': 5.*'hidden_size': 48"),
    (dict(num_attention_heads='7'), 'belongs to another network'),
    (dict(num_attention_heads=0), '0 should be positive'),
    (dict(num_attention_heads=1.5), '1.5 should be positive, and an integer'),
    (dict(num_attention_heads=True), 'True should be positive, and an integer'),
    (dict(model_type='vit', hidden_size=96), "'hidden_size': 96.*'hidden_size': 48"),
    (dict(model_type='vit', num_hidden_layers=3), 'belongs to another network'),
    (dict(model_type='vit', patch_size=32), 'belongs to another network'),
    (dict(model_type='vit', hidden_act='silu'), "'silu' is not supported"),
    (dict(model_type='vit', num_attention_heads=4, layer_norm_eps='__import__("os")'),
     'could not convert'),
    (dict(model_type='vit', num_attention_heads=4, image_size=64),
     r'does not fit images of 64 x 64 px, as .*config\.json says'),
])
def test_wrong_values_are_refused(tmp_path, content, message):
    save(tmp_path)
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / 'config.json').write_text(text)
    with pytest.raises(ValueError, match=message):
        load_backbone(tmp_path)


def test_images_may_be_rectangles(tmp_path):
    save(tmp_path)
    (tmp_path / 'config.json').write_text(
        json.dumps(dict(model_type='vit', num_attention_heads=4, image_size=[16, 64])))
    assert load_backbone(tmp_path).image_size == (16, 64)


def test_a_config_of_something_else_is_passed_over(tmp_path):
    save(tmp_path, hidden_size=192, num_hidden_layers=12, num_attention_heads=3,
         intermediate_size=768)
    (tmp_path / 'config.json').write_text('{"image_size": 7, "name": "my app"}')
    assert load_backbone(tmp_path).image_size == 32


def test_cached_features_depend_on_it(tmp_path):
    save(tmp_path)
    before = checkpoint_key(tmp_path)
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(dict(do_normalize=False)))
    assert checkpoint_key(tmp_path) != before


def test_features_of_a_folder_in_the_home_folder(tmp_path, monkeypatch):
    from PIL import Image
    monkeypatch.setenv('HOME', str(tmp_path))
    save(tmp_path / 'net')
    Image.new('RGB', (40, 40)).save(tmp_path / 'a.png')
    features, names = extract_features('~/net', '~/a.png')
    assert features.shape == (1, 48) and names == [str(tmp_path / 'a.png')]


@torch.no_grad()
@pytest.mark.parametrize('damage', ['none', 'shard', 'truncated'])
def test_a_folder_of_save_pretrained_in_several_files(tmp_path, damage):
    net = randomise(transformers.ViTModel(transformers.ViTConfig(**SIZES))).eval()
    net.save_pretrained(tmp_path, max_shard_size='20KB')
    shards = sorted(tmp_path.glob('model-*.safetensors'))
    assert len(shards) > 1
    if damage == 'shard':
        shards[1].unlink()
    elif damage == 'truncated':
        shards[1].write_bytes(shards[1].read_bytes()[:-9])
    if damage != 'none':
        with pytest.raises(ValueError, match=rf'{shards[1].name}( is not a|: all files)'):
            load_backbone(tmp_path)
        return
    pixels = images()
    mean = torch.tensor([127.5]).view(1, 1, 1)
    torch.testing.assert_close(load_backbone(tmp_path)(pixels),
                               net((pixels - mean) / mean).last_hidden_state)


@torch.no_grad()
@pytest.mark.parametrize('safe', [True, False])
def test_a_folder_of_timms_save_for_hf(tmp_path, safe):
    timm = pytest.importorskip('timm')
    net = randomise(timm.create_model(
        'vit_base_patch16_224', img_size=32, num_classes=0, embed_dim=48, depth=2, num_heads=4))
    timm.models.save_for_hf(net, tmp_path, safe_serialization=safe)
    config = json.loads((tmp_path / 'config.json').read_text())
    mean, std = (config['pretrained_cfg'][key] for key in ('mean', 'std'))
    pixels = images()
    encoder = load_backbone(tmp_path)
    torch.testing.assert_close(encoder(pixels), net.forward_features(normalised(pixels, mean, std)))
    assert encoder.backbone.layers[0].attn.num_heads == 4
    config['model_args']['depth'] = 3
    (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(ValueError, match='belongs to another network'):
        load_backbone(tmp_path)
    config.pop('model_args')  # what timm wrote earlier
    (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(ValueError, match='num_attention_heads'):
        load_backbone(tmp_path)
