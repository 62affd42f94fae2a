"""Folders for transformers and timm: the same numbers there as here."""
import json
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader
from PIL import Image

from tests.checkpoints.conversion.helpers import assert_same, randomise
from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH, tiny_config, tiny_vicmae
from tests.helpers.work_dirs import PREPROCESSOR, write_work_dir
from vicmae_mm.apis import hub_folders, load_backbone
from vicmae_mm.apis.hub_folders import write_hub_folder
from vicmae_mm.checkpoints.weight_files import read_weights
from vicmae_mm.datasets.readers.image_or_video import prepare_frame
from vicmae_mm.engine.starting.first_weights import first_weights
from vicmae_mm.registry import MODELS

transformers = pytest.importorskip('transformers', minversion='4.56')
timm = pytest.importorskip('timm')
IMAGES = torch.randint(256, (3, 3, IMG_SIZE, IMG_SIZE),
                       generator=torch.Generator().manual_seed(0)).float()
VIT = dict(type='mmpretrain.VisionTransformer', arch=TINY_ARCH, img_size=IMG_SIZE, patch_size=PATCH)
CLIP = dict(VIT, pre_norm=True, norm_cfg=dict(type='LN', eps=1e-5),
            layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')))
SCALED = dict(VIT, type='vicmae_mm.RegisterViT', layer_scale_init_value=1.0)
VIDEO = dict(VIT, type='vicmae_mm.VideoViT', num_frames=4, tubelet_size=2, with_cls_token=False,
             separable_position=False)


@pytest.fixture(autouse=True)
def neither_is_needed(monkeypatch):
    """Both are hidden while a folder is written."""
    def write(*args, **kwargs):
        with monkeypatch.context() as hidden:
            for name in ('timm', 'transformers'):
                hidden.setitem(sys.modules, name, None)
            return hub_folders.write_hub_folder(*args, **kwargs)
    monkeypatch.setitem(globals(), 'write_hub_folder', write)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A ViC-MAE in its work dir."""
    cfg = tiny_config(data_preprocessor=PREPROCESSOR)
    return write_work_dir(
        tmp_path_factory.mktemp('run'), randomise(tiny_vicmae(data_preprocessor=PREPROCESSOR)), cfg)


def classifier(folder, backbone, head=None, kind='mmpretrain.ImageClassifier', part='head', **meta):
    """A fine-tuned network in its work dir, and its checkpoint."""
    head = head or dict(type='mmpretrain.LinearClsHead', num_classes=3, in_channels=WIDTH)
    cfg = dict(type=kind, backbone=backbone, data_preprocessor=dict(
        type='mmpretrain.ClsDataPreprocessor', mean=[127.] * 3, std=[60.] * 3), **{part: head})
    model = randomise(MODELS.build(cfg))
    if getattr(model.backbone, 'separable_position', True) is False:
        from vicmae_mm.checkpoints.conversion.fixed_positions import sinusoid_table
        model.backbone.pos_embed.data.copy_(sinusoid_table(*model.backbone.pos_embed.shape[1:]))
    return model, write_work_dir(folder / 'run', model, cfg, **meta)


def normalised(encoder, images):
    axes = (-1, ) + (1, ) * (images.ndim - 2)
    return (images - encoder.mean.view(axes)) / encoder.std.view(axes)


def from_pretrained(kind, folder, **settings):
    model, report = kind.from_pretrained(folder, output_loading_info=True, **settings)
    assert not any(report.values()), report
    return model.eval()


@torch.no_grad()
def test_the_encoder_in_transformers(checkpoint, tmp_path):
    result = write_hub_folder(checkpoint, tmp_path / 'hf')
    assert result.target == 'hf-vit' and 'projector.fc0.weight' in result.left_out
    model = from_pretrained(transformers.AutoModel, tmp_path / 'hf', add_pooling_layer=False)
    assert isinstance(model, transformers.ViTModel)
    # Three products in place of one may add up in another order: 1e-12 in fp64.
    ours, theirs, images = load_backbone(checkpoint).double(), model.double(), IMAGES.double()
    torch.testing.assert_close(theirs(normalised(ours, images)).last_hidden_state, ours(images),
                               rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize('by', ['local-dir', 'overlay'])
def test_the_encoder_in_timm(checkpoint, tmp_path, by):
    write_hub_folder(checkpoint, tmp_path / 'x', 'timm')
    if by == 'local-dir':
        model = timm.create_model(f'local-dir:{tmp_path}/x', pretrained=True).eval()
    else:
        config = json.loads((tmp_path / 'x/config.json').read_text())
        model = timm.create_model(
            config['architecture'], pretrained=True, **config['model_args'],
            pretrained_cfg_overlay=dict(
                config['pretrained_cfg'], file=str(tmp_path / 'x/model.safetensors'))).eval()
    ours = load_backbone(checkpoint)
    images = normalised(ours, IMAGES)
    assert torch.equal(model.forward_features(images), ours(IMAGES))
    assert torch.equal(model(images), ours(IMAGES, 'cls'))
    settings = timm.data.resolve_model_data_config(model)
    assert (*settings['mean'], settings['interpolation']) == (0.485, 0.456, 0.406, 'bicubic')
    assert [*settings['input_size']] == [3, IMG_SIZE, IMG_SIZE]


def test_a_config_that_is_named(checkpoint, tmp_path):
    torch.save(dict(state_dict=read_weights(checkpoint)), tmp_path / 'bare.pth')
    with pytest.raises(ValueError, match='Cannot infer the architecture'):
        write_hub_folder(tmp_path / 'bare.pth', tmp_path / 'x')
    (tmp_path / 'mine.py').write_text(
        f"_base_ = '{checkpoint.parent}/run.py'\nmodel = dict(backbone=dict(mask_ratio=0.5))")
    write_hub_folder(tmp_path / 'bare.pth', tmp_path / 'x', config=tmp_path / 'mine.py')
    text = (tmp_path / 'x/README.md').read_text()
    assert 'data/clips' in text and '"mask_ratio": 0.5' in text


@torch.no_grad()
@pytest.mark.parametrize('target', ['hf', 'timm'])
def test_such_a_folder_is_a_checkpoint(checkpoint, tmp_path, target):
    write_hub_folder(checkpoint, tmp_path / 'x', target)
    ours, back = load_backbone(checkpoint), load_backbone(tmp_path / 'x')
    assert torch.equal(back(IMAGES), ours(IMAGES)) and back.image_size == IMG_SIZE
    for value in ('mean', 'std'):
        assert torch.equal(getattr(back, value), getattr(ours, value))
    model = tiny_vicmae()  # and a start: load_from
    content = CheckpointLoader.load_checkpoint(str(tmp_path / 'x'), map_location='cpu')
    model.load_state_dict(first_weights(content, str(tmp_path / 'x'), model), strict=False)
    assert_same(model.backbone.state_dict(), ours.backbone.state_dict())
    write_hub_folder(tmp_path / 'x', tmp_path / 'y', 'hf')  # and can be converted
    assert torch.equal(load_backbone(tmp_path / 'y')(IMAGES), ours(IMAGES))


@torch.no_grad()
@pytest.mark.parametrize('backbone, kind', [
    (dict(SCALED), 'Dinov2Model'), (dict(SCALED, num_registers=2), 'Dinov2WithRegistersModel'),
    (CLIP, '')], ids=['layer scale', 'registers', 'CLIP'])
def test_networks_started_from_public_weights(tmp_path, backbone, kind):
    _, file = classifier(tmp_path, backbone)
    ours = load_backbone(file).double()
    pixels, first = normalised(ours, IMAGES.double()), 1 + backbone.get('num_registers', 0)
    if kind:
        write_hub_folder(file, tmp_path / 'hf', encoder_only=True)
        model = from_pretrained(transformers.AutoModel, tmp_path / 'hf').double()
        assert type(model).__name__ == kind
        tokens = model(pixels).last_hidden_state
        tokens = torch.cat((tokens[:, :1], tokens[:, first:]), dim=1)
        torch.testing.assert_close(tokens, ours(IMAGES.double()), rtol=0, atol=1e-12)
        assert torch.equal(load_backbone(tmp_path / 'hf')(IMAGES), load_backbone(file)(IMAGES))
    write_hub_folder(file, tmp_path / 'timm', 'timm')
    # In fp32: without a place for it, the position of the class token is added to the token.
    ours = load_backbone(file)
    model = timm.create_model(f'local-dir:{tmp_path}/timm', pretrained=True).eval()
    tokens = model.forward_features(normalised(ours, IMAGES))
    tokens = torch.cat((tokens[:, :1], tokens[:, first:]), dim=1)
    assert torch.equal(tokens, ours(IMAGES))
    assert torch.equal(load_backbone(tmp_path / 'timm')(IMAGES), load_backbone(file)(IMAGES))


@torch.no_grad()
@pytest.mark.parametrize('classes', [('cat', 'dog', 'owl'), None])
def test_a_classifier_of_the_class_token(tmp_path, classes):
    model, file = classifier(tmp_path, VIT, classes=classes)
    names = [*(classes or ('LABEL_0', 'LABEL_1', 'LABEL_2'))]
    pixels = normalised(load_backbone(file), IMAGES).double()
    logits = model.double().head(model.backbone(pixels))
    write_hub_folder(file, tmp_path / 'hf')
    theirs = from_pretrained(transformers.AutoModelForImageClassification, tmp_path / 'hf')
    assert [*theirs.config.id2label.values()] == names
    torch.testing.assert_close(theirs.double()(pixels).logits, logits, rtol=0, atol=1e-12)
    write_hub_folder(file, tmp_path / 'timm', 'timm')
    theirs = timm.create_model(f'local-dir:{tmp_path}/timm', pretrained=True).eval()
    assert theirs.pretrained_cfg['label_names'] == names
    assert torch.equal(theirs.double()(pixels), logits)


@torch.no_grad()
def test_a_classifier_of_the_mean(tmp_path):
    model, file = classifier(tmp_path, dict(VIT, out_type='avg_featmap', final_norm=False))
    pixels = normalised(load_backbone(file), IMAGES)
    with pytest.raises(ValueError, match=r'hf-vit has no place for 2 of .* backbone\.ln2'):
        write_hub_folder(file, tmp_path / 'hf')
    write_hub_folder(file, tmp_path / 'timm', 'timm')
    theirs = timm.create_model(f'local-dir:{tmp_path}/timm', pretrained=True).eval()
    assert torch.equal(theirs(pixels), model.head(model.backbone(pixels)))


@torch.no_grad()
def test_a_classifier_of_clips(tmp_path):
    head = dict(type='mmaction.TimeSformerHead', num_classes=3, in_channels=WIDTH)
    model, file = classifier(tmp_path, VIDEO, head, 'mmaction.Recognizer3D', 'cls_head')
    write_hub_folder(file, tmp_path / 'hf')
    theirs = from_pretrained(
        transformers.AutoModelForVideoClassification, tmp_path / 'hf').double()
    assert theirs.fc_norm.eps == 1e-5  # fixed there; in the code of VideoMAE's authors it is 1e-6
    assert 'norm after pooling: 1e-5' in (tmp_path / 'hf/README.md').read_text()
    theirs.fc_norm.eps = 1e-6
    clips = IMAGES[:, :, None].expand(-1, -1, 4, -1, -1) + torch.arange(4.).view(4, 1, 1)
    pixels = normalised(load_backbone(file), clips).double()
    torch.testing.assert_close(
        theirs(pixels.transpose(1, 2)).logits,
        model.double().cls_head(model.backbone(pixels)), rtol=0, atol=1e-12)
    assert load_backbone(tmp_path / 'hf').num_frames == 4


@torch.no_grad()
def test_clips_without_a_norm_after_the_last_layer(tmp_path):
    model = transformers.VideoMAEModel(transformers.VideoMAEConfig(
        image_size=IMG_SIZE, patch_size=PATCH, num_frames=4, hidden_size=WIDTH,
        num_hidden_layers=1, num_attention_heads=2, intermediate_size=WIDTH)).eval()
    model.save_pretrained(tmp_path / 'theirs')
    write_hub_folder(tmp_path / 'theirs', tmp_path / 'hf')
    back, clips = from_pretrained(transformers.AutoModel, tmp_path / 'hf'), torch.rand(
        1, 4, 3, IMG_SIZE, IMG_SIZE)
    assert torch.equal(back(clips).last_hidden_state, model(clips).last_hidden_state)


def test_pixels_are_those_of_our_evaluation(checkpoint, tmp_path):
    write_hub_folder(checkpoint, tmp_path / 'hf')
    write_hub_folder(checkpoint, tmp_path / 'timm', 'timm')
    encoder = load_backbone(checkpoint)
    model = timm.create_model(f'local-dir:{tmp_path}/timm')
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    processors = {
        tolerance: transformers.AutoImageProcessor.from_pretrained(tmp_path / 'hf', backend=name)
        for name, tolerance in (('torchvision', 1.001), ('pil', 1e-3))}
    for size in ((70, 52), (33, 120), (32, 32), (48, 37), (20, 30)):
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
        ours = prepare_frame(np.asarray(image), IMG_SIZE).float()
        found = [(1e-3, transform(image))]
        if size != (20, 30):  # a margin of 23 px: transformers crops 11 px from the left, and we 12
            found += [(tolerance, processor(image, return_tensors='pt')['pixel_values'][0])
                      for tolerance, processor in processors.items()]
        for tolerance, pixels in found:
            levels = pixels * encoder.std.view(3, 1, 1) + encoder.mean.view(3, 1, 1)
            torch.testing.assert_close(levels, ours, rtol=0, atol=tolerance)


@torch.no_grad()
def test_rectangles(tmp_path):
    _, file = classifier(tmp_path, dict(VIT, img_size=(32, 48)))
    write_hub_folder(file, tmp_path / 'hf', encoder_only=True)
    write_hub_folder(file, tmp_path / 'timm', 'timm', encoder_only=True)
    ours, images = load_backbone(file), torch.rand(1, 3, 32, 48) * 255
    for name in ('hf', 'timm'):
        back = load_backbone(tmp_path / name)
        assert back.image_size == (32, 48) and torch.equal(back(images), ours(images))
    model = timm.create_model(f'local-dir:{tmp_path}/timm', pretrained=True).eval()
    assert torch.equal(model.forward_features(normalised(ours, images)), ours(images))
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 110, 3), np.uint8))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / 'hf')
    assert processor(photo, return_tensors='pt')['pixel_values'].shape == (1, 3, 32, 48)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    frame = prepare_frame(np.asarray(photo), (32, 48))
    torch.testing.assert_close(transform(photo), normalised(ours, frame[None])[0])


@pytest.mark.parametrize('target', ['hf', 'timm'])
def test_the_code_of_the_card_runs(checkpoint, tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    write_hub_folder(checkpoint, 'net', target)
    Image.new('RGB', (50, 40)).save('photo.jpg')
    text = (tmp_path / 'net/README.md').read_text()
    (code, ) = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert (names['outputs'] if target == 'timm' else
            names['outputs'].last_hidden_state[:, 0]).shape == (1, WIDTH)
    for fact in ('epoch_2.pth', 'data/clips', '* epochs: 2\n', 'PyTorch: 2.9.9',
                 '* probe/knn_accuracy: 50\n', '* loss: 1.25\n', '* per_class: [1, 2]\n',
                 'license: yours to choose', '"begin_ratio": 0.25',
                 '* batch: 8 pairs per optimizer step (4 per batch x 2 GPUs)\n'):
        assert fact in text


def test_the_code_of_a_classifiers_card_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new('RGB', (50, 40)).save('photo.jpg')
    head = dict(type='mmaction.TimeSformerHead', num_classes=3, in_channels=WIDTH)
    files = dict(image=classifier(tmp_path / 'a', VIT)[1], video=classifier(
        tmp_path / 'b', VIDEO, head, 'mmaction.Recognizer3D', 'cls_head')[1])
    for name, target in (('image', 'hf'), ('image', 'timm'), ('video', 'hf')):
        write_hub_folder(files[name], name, target)
        names: dict = {}
        exec(re.findall(r'```python\n(.*?)```', (tmp_path / name / 'README.md').read_text(),
                        re.DOTALL)[0], names)
        assert getattr(names['outputs'], 'logits', names['outputs']).shape == (1, 3)


@pytest.mark.parametrize('backbone, target, words', [
    (dict(type='mmpretrain.ResNet', depth=18, base_channels=4, stem_channels=4), 'hf',
     'plain Vision Transformers.* a ResNet'),
    (dict(VIT, out_type='avg_featmap'), 'timm', 'a norm before pooling and one after it'),
    (dict(VIT, layer_cfgs=dict(act_cfg=dict(type='ReLU'))), 'hf', 'has the activation ReLU'),
    (dict(VIT, final_norm=False), 'timm', 'a norm before pooling and one after it, or neither'),
    (dict(VIT, out_indices=[0]), 'hf', 'ends before its last layer'),
    (dict(VIT, patch_cfg=dict(stride=8, kernel_size=16, padding=4)), 'hf', 'patches that overlap'),
    (dict(VIT, layer_cfgs=dict(ffn_type='swiglu_fused')), 'timm', 'plain Vision Transformers'),
    (dict(VIT, norm_cfg=dict(type='LN', eps=1e-5)), 'timm', r'gelu and eps=1e-05'),
    (CLIP, 'hf', r'no place .*pre_norm.* A whole encoder fits into: .*timm'),
    (dict(VIT, type='vicmae_mm.VideoViT', num_frames=4), 'hf', 'not VideoMAE.s fixed one'),
    (dict(VIT, type='vicmae_mm.VideoViT', num_frames=4), 'timm', 'are for images'),
])
def test_networks_that_they_do_not_have(tmp_path, backbone, target, words):
    head = dict(type='mmpretrain.LinearClsHead', num_classes=3, in_channels=8)
    _, file = classifier(tmp_path, backbone, head)
    with pytest.raises(ValueError, match=words):
        write_hub_folder(file, tmp_path / 'x', target, encoder_only=True)
    assert not (tmp_path / 'x').exists()


def test_bgr_and_other_norms_before_a_classifier_are_refused(tmp_path):
    model, file = classifier(tmp_path, VIT)
    bgr = tmp_path / 'bgr.py'
    bgr.write_text((tmp_path / 'run/run.py').read_text().replace('127.0', '103.53', 1) + (
        "\nmodel['data_preprocessor'].update(mean=[103.53, 116.28, 123.675])\n"
        'train_dataloader = {}\n'))
    with pytest.raises(ValueError, match='takes BGR images'):
        write_hub_folder(file, tmp_path / 'x', config=bgr)
    state = dict(model.state_dict(), **{'neck.bn.weight': torch.ones(WIDTH)})
    torch.save(dict(state_dict=state), file)
    with pytest.raises(ValueError, match=r'no place for 1 of the tensors: neck\.bn\.weight'):
        write_hub_folder(file, tmp_path / 'x')
    write_hub_folder(file, tmp_path / 'x', encoder_only=True)


def test_folders_that_exist(checkpoint, tmp_path):
    write_hub_folder(checkpoint, tmp_path / 'hf')
    (tmp_path / 'hf/.gitattributes').touch()  # a clone of the Hub
    write_hub_folder(checkpoint, tmp_path / 'hf', 'timm')
    assert not (tmp_path / 'hf/preprocessor_config.json').exists()
    (tmp_path / 'file').touch()
    for folder, name in (('project', 'README.md'), ('model', 'model.safetensors')):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    for source, place, name in (
            (checkpoint, checkpoint.parent, 'epoch_2.pth'), (checkpoint, 'file', 'file'),
            (tmp_path / 'hf', 'hf', 'model.safetensors'), (checkpoint, 'project', 'README.md'),
            (checkpoint, 'model', 'model.safetensors')):
        with pytest.raises(FileExistsError, match=f'{name} is in the way: name a new'):
            write_hub_folder(source, tmp_path / place)
    load_backbone(tmp_path / 'hf')


def test_the_card_says_what_is_not_the_checkpoints(checkpoint, tmp_path):
    def added(folder, *args):
        write_hub_folder(folder, tmp_path / 'x', *args, encoder_only=True)
        return re.search('bit for bit. Added: (.*)[.]', (tmp_path / 'x/README.md').read_text())[1]

    assert added(checkpoint) == 'nothing'
    file = classifier(tmp_path, dict(SCALED, num_registers=2))[1]
    assert 'the position of the class token' in added(file, 'timm')
    assert added(file) == 'zeros for the mask token of its pre-training'
    write_hub_folder(checkpoint, tmp_path / 'y')
    (tmp_path / 'y/preprocessor_config.json').unlink()
    assert 'mean [0.5, 0.5, 0.5] and std [0.5, 0.5, 0.5], assumed' in added(tmp_path / 'y')


def test_metrics_of_other_runs_are_not_in_the_card(checkpoint, tmp_path):
    (tmp_path / 'runs').mkdir()
    shutil.copytree(checkpoint.parent / '1', tmp_path / 'runs/other')
    torch.save(dict(state_dict=read_weights(checkpoint)), tmp_path / 'runs/bare.pth')
    write_hub_folder(
        tmp_path / 'runs/bare.pth', tmp_path / 'x', config=checkpoint.parent / 'run.py')
    text = (tmp_path / 'x/README.md').read_text()
    assert 'knn_accuracy' not in text and 'PyTorch: 2.9.9' not in text


@pytest.mark.parametrize('step', ['atomic_write_bytes', 'write_weights'])
def test_what_is_interrupted_does_not_look_complete(checkpoint, tmp_path, monkeypatch, step):
    write_hub_folder(checkpoint, tmp_path / 'hf')

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(hub_folders, step, stop)
    for name in ('hf', 'new'):
        with pytest.raises(KeyboardInterrupt):
            write_hub_folder(checkpoint, tmp_path / name)
        with pytest.raises((OSError, ValueError)):
            load_backbone(tmp_path / name)
        with pytest.raises((OSError, ValueError)):
            transformers.AutoModel.from_pretrained(tmp_path / name)
