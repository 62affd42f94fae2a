"""--init: network, weights and normalisation are those of the file, or the file is refused."""
import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from tests.checkpoints.conversion.helpers import randomise
from tests.checkpoints.conversion.test_timm import AuthorsViCMAE
from tests.commands.pretrain.test_settings import choose, data  # noqa: F401
from vicmae_mm.apis import load_backbone
from vicmae_mm.commands.preflight import check_config
from vicmae_mm.engine.starting.first_weights import first_weights
from vicmae_mm.registry import MODELS

timm = pytest.importorskip('timm')
transformers = pytest.importorskip('transformers')
NORM = dict(mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])


def of_timm(folder: Path, name: str, size: int = 32, wrapper: str = '', **renamed: str) -> Path:
    """As its hub has it: the heads are in config.json."""
    network = randomise(timm.create_model(
        name, depth=2, embed_dim=32, num_heads=2, num_classes=0, img_size=size))
    state = {wrapper + renamed.get(key, key): each for key, each in network.state_dict().items()}
    torch.save(dict(state_dict=state), folder / 'pytorch_model.bin')
    (folder / 'config.json').write_text(json.dumps(dict(
        architecture=name, num_attention_heads=2,
        pretrained_cfg=dict(NORM, input_size=[3, size, size]))))
    return folder


def of_authors(folder: Path, *without: str) -> Path:
    """MAE with its decoder, or also with the projector of ViC-MAE."""
    state = randomise(AuthorsViCMAE()).state_dict()
    (folder / 'config.json').write_text('{"num_attention_heads": 2}')
    torch.save(dict(model={key: value for key, value in state.items()
                           if not key.startswith(without)}), folder / 'mae.pth')
    return folder / 'mae.pth'


def of_transformers(folder: Path, kind: str, network: str = '', **settings: int) -> Path:
    """A folder that ``save_pretrained`` writes."""
    config = getattr(transformers, f'{kind}Config')(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        image_size=32, patch_size=8, **settings)
    randomise(getattr(transformers, network or f'{kind}Model')(config)).save_pretrained(folder)
    return folder


FAMILIES = {
    'MAE': (of_authors, 'projector'),
    'ViC-MAE of its authors': (of_authors, ),
    'timm': (of_timm, 'vit_small_patch16_224'),
    'CLIP': (of_timm, 'vit_base_patch16_clip_quickgelu_224'),
    'DeiT III': (of_timm, 'deit3_small_patch16_224'),
    'DINO': (of_timm, 'vit_small_patch16_224', 32, 'teacher.backbone.'),
    'DINOv2 of timm': (of_timm, 'vit_small_patch14_reg4_dinov2', 28),
    'transformers': (of_transformers, 'ViT'),
    'MAE of transformers': (of_transformers, 'ViTMAE', 'ViTMAEForPreTraining'),
    'DINOv2 of transformers': (of_transformers, 'Dinov2'),
    'DINOv2 with registers': (of_transformers, 'Dinov2WithRegisters'),
}


@torch.no_grad()
@pytest.mark.parametrize('family', FAMILIES)
def test_the_network_of_another_family(data, tmp_path, family):  # noqa: F811
    (tmp_path / 'file').mkdir()
    make, *arguments = FAMILIES[family]
    init = make(tmp_path / 'file', *arguments)
    theirs = load_backbone(init)
    size, images = theirs.backbone.img_size[0], torch.randn(2, 3, *theirs.backbone.img_size)
    cfg = choose(data, tmp_path, '--init', str(init), '--image-size', str(size), model=None)
    model = MODELS.build(cfg.model)
    weights = first_weights(CheckpointLoader.load_checkpoint(cfg.load_from), cfg.load_from, model)
    assert not any(key.startswith('backbone.')
                   for key in model.load_state_dict(weights, strict=False).missing_keys)
    assert torch.equal(model.eval().backbone(images, mask=None)[0], theirs.backbone(images)[-1])
    assert cfg.data_preprocessor.std == pytest.approx(theirs.std.tolist())
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == pytest.approx(.75**(13 / 3), abs=.01)


def test_the_check_has_nothing_to_advise(data, tmp_path):  # noqa: F811
    init = of_timm(tmp_path, 'vit_small_patch16_224')
    words = '--init', str(init), '--image-size', '32', '--devices', '2'
    cfg = choose(data, tmp_path, *words, source='table.csv', model=None)
    cfg.launcher = 'none'
    findings = check_config(cfg, 2)
    assert not findings.errors and not findings.warnings and findings.complete
    assert any(note.startswith('data: 12 samples') for note in findings.notes)


def test_a_model_that_is_asked_for_gets_the_normalisation_of_the_file(data, tmp_path):  # noqa: F811
    cfg = choose(data, tmp_path, '--init', str(of_timm(tmp_path, 'vit_small_patch16_224')))
    assert cfg.data_preprocessor.std == [63.75] * 3 and cfg.model.backbone.patch_size == 4


@pytest.mark.parametrize('make, arguments, message', [
    (of_transformers, ('VideoMAE', ), 'without a class token'),
    (of_timm, ('vit_base_patch16_siglip_gap_224', ), 'class token'),
    (of_timm, ('vit_small_patch16_dinov3', ), 'rotary')])
def test_what_cannot_be_the_encoder(data, tmp_path, make, arguments, message):  # noqa: F811
    (tmp_path / 'file').mkdir()
    init = make(tmp_path / 'file', *arguments)
    with pytest.raises(ValueError, match=message):
        choose(data, tmp_path, '--init', str(init), model=None)


def test_the_network_of_a_run(data, tmp_path):  # noqa: F811
    cfg = choose(data, tmp_path / 'first', '--set', 'model.contrast_weight=0.5')
    run = tmp_path / 'first/run'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), run / 'epoch_1.pth')
    again = choose(data, tmp_path, '--init', str(run), model=None)
    assert again.model == cfg.model and again.load_from == str(run / 'epoch_1.pth')
    assert load_backbone(run).image_size == 32  # the folder is as good as the file
    (run / 'config.json').write_text('{"hidden_act": "silu"}')  # of another network
    assert choose(data, tmp_path, '--init', str(run), model=None).model == cfg.model
    (run / 'epoch_2.pth').write_bytes(b'PK damaged')
    assert load_backbone(run).image_size == 32
    (run / 'model.safetensors').touch()
    with pytest.raises(ValueError, match='name the file of the one that you mean'):
        load_backbone(run)


def test_a_run_whose_checkpoints_are_elsewhere(data, tmp_path):  # noqa: F811
    cfg = choose(data, tmp_path / 'first')
    run, file = tmp_path / 'first/run', tmp_path / 'elsewhere/epoch_1.pth'
    file.parent.mkdir()
    shutil.copy(run / 'pretrain.py', file.parent)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), file)
    (run / 'last_checkpoint').write_text(str(file))
    assert choose(data, tmp_path, '--init', str(run), model=None).load_from == str(file)
    with pytest.raises(ValueError, match='has a run with other arguments'):
        choose(data, tmp_path / 'first', '--seed', '1')
    (run / 'last_checkpoint').write_text('s3://store/run/epoch_1.pth')
    with pytest.raises(ValueError, match='remote store: name its newest, s3://store/run/epoch_1'):
        load_backbone(run)
    (run / 'last_checkpoint').write_text('/moved/epoch_1.pth')
    with pytest.raises(ValueError, match='it has no weights'):
        load_backbone(run)
