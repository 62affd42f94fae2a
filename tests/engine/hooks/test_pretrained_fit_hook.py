"""An evaluation on an encoder that was not loaded stops before its first step."""
from pathlib import Path

import pytest
import torch
from mmpretrain.models import VisionTransformer
from torch import Tensor

from tests.helpers.classifiers import classifier_runner, write_photos
from tests.helpers.models import WIDTH, tiny_vicmae

HOOK = dict(type='vicmae_mm.PretrainedFitHook')
ALLOWED = dict(HOOK, allow_untrained=True)


@pytest.fixture(scope='module')
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp('photos') / 'photos')


@pytest.fixture
def weights() -> dict[str, Tensor]:
    """Of a pre-trained model; not one of them is as a fresh network has it."""
    return {key: torch.rand_like(value) if value.is_floating_point() else value
            for key, value in tiny_vicmae().state_dict().items()}


@pytest.fixture
def run(tmp_path, photos):
    def run(weights: dict | None = None, hook: dict = HOOK, **settings):
        path = tmp_path / 'pretrained.pth'
        if weights is not None:
            torch.save(dict(state_dict=weights, meta={}), path)
        settings.setdefault('model.backbone.init_cfg', dict(
            type='Pretrained', checkpoint=str(path), prefix='backbone.'))
        runner = classifier_runner(
            tmp_path / 'run', photos,
            **{'custom_hooks': [hook], 'optim_wrapper.optimizer.lr': 0., **settings})
        runner.train()
        return runner
    return run


def holds(runner, weights: dict[str, Tensor]) -> bool:
    """Whether the encoder (not trained: the learning rate is 0) is the pre-trained one."""
    state = runner.model.backbone.state_dict()
    return all(torch.equal(value, weights[f'backbone.{key}']) for key, value in state.items()
               if f'backbone.{key}' in weights)


def test_a_pretrained_encoder_trains(run, weights):
    assert holds(run(weights), weights)


def test_the_file_is_read_once(run, weights, monkeypatch):
    reads = []
    load = torch.load
    monkeypatch.setattr(torch, 'load', lambda *a, **k: reads.append(a[0]) or load(*a, **k))
    run(weights)
    assert len(reads) == 1


def test_a_norm_of_the_evaluation_is_new(run, weights):
    pooled = {'model.backbone.out_type': 'avg_featmap', 'model.backbone.final_norm': False}
    runner = run(weights, **pooled)
    assert holds(runner, weights)
    assert torch.equal(runner.model.backbone.ln2.weight, torch.ones(WIDTH))


def test_position_tables_may_be_resized(run, weights):
    runner = run(weights, **{'model.backbone.img_size': 64})
    assert runner.model.backbone.pos_embed.shape[1] == 1 + 64
    assert torch.equal(
        runner.model.backbone.cls_token, weights['backbone.cls_token'])


@pytest.mark.parametrize('spoil, message', [
    (lambda w: w.pop('backbone.layers.1.attn.qkv.bias'),
     r'29 of its 30 parameters match; 1 are missing, such as layers\.1\.attn\.qkv\.bias'),
    (lambda w: w.update({'backbone.cls_token': torch.ones(1, 1, WIDTH + 1)}),
     r'29 of its 30 parameters match; cls_token has shape \(1, 1, 33\) in the file'),
    (lambda w: w.update({'backbone.layers.2.ln1.bias': torch.ones(WIDTH)}),
     r'30 of its 30 .*1 of the file are not in the model, such as layers\.2\.ln1\.bias'),
    (lambda w: w.pop('backbone.ln1.weight'), r'29 of its 30 .*such as ln1\.weight'),
])
def test_all_of_the_encoder_must_be_in_the_file(run, weights, spoil, message):
    spoil(weights)
    with pytest.raises(ValueError, match=rf'does not fit the encoder of this run: {message}.*'
                       r'looks like a ViC-MAE of this package.*allow_untrained=True'):
        run(weights)


@pytest.mark.parametrize('keys, family', [
    (['layer1.0.conv1.weight', 'fc.weight'], 'a ResNet'),
    (['blocks.0.norm1.weight', 'patch_embed.proj.weight'], 'a Vision Transformer of timm'),
])
def test_foreign_files_are_recognised(run, keys, family):
    with pytest.raises(ValueError, match=(
            rf"has nothing under 'backbone\.'. The file looks like {family}\. .*"
            'vicmae convert')):
        run({key: torch.ones(3) for key in keys})


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_broken_numbers_are_refused(run, weights, value):
    weights['backbone.layers.1.attn.qkv.weight'][0, 0] = value
    with pytest.raises(ValueError, match=(
            r'1 of its parameters are not finite \(NaN or infinity\), such as layers\.1\.attn')):
        run(weights)


def test_a_text_file_is_refused(run, tmp_path):
    (tmp_path / 'pretrained.pth').write_text('hello')
    with pytest.raises(ValueError, match='is not a checkpoint'):
        run()


def test_no_such_file(run):
    with pytest.raises(FileNotFoundError, match=(
            r'There is no checkpoint .*pretrained\.pth: pre-train, or set yours with '
            r'--cfg-options model\.backbone\.init_cfg\.checkpoint=PATH')):
        run()


@pytest.mark.parametrize('init_cfg', [
    None, dict(type='Pretrained', checkpoint='', prefix='backbone.'),
    dict(type='TruncNormal', layer='Linear', std=0.02)])
def test_from_scratch_only_on_purpose(run, init_cfg):
    with pytest.raises(ValueError, match=r'would start untrained.*allow_untrained=True'):
        run(**{'model.backbone.init_cfg': init_cfg})
    run(hook=ALLOWED, **{'model.backbone.init_cfg': init_cfg})


def test_a_named_file_must_fit_even_where_none_is_needed(run, weights):
    del weights['backbone.cls_token']
    with pytest.raises(ValueError, match=r'such as cls_token'):
        run(weights, hook=ALLOWED)


def test_load_from_takes_the_place_of_init_cfg(run, weights, tmp_path):
    whole = {**weights, 'head.fc.weight': torch.ones(3, WIDTH), 'head.fc.bias': torch.ones(3)}
    torch.save(dict(state_dict=whole, meta={}), tmp_path / 'whole.pth')
    runner = run(load_from=str(tmp_path / 'whole.pth'))  # init_cfg's file does not exist
    assert holds(runner, weights) and torch.equal(runner.model.head.fc.bias, torch.ones(3))


def test_load_from_must_bring_the_encoder(run, weights, tmp_path):
    torch.save({'state_dict': {'head.fc.bias': torch.ones(3)}}, tmp_path / 'head.pth')
    with pytest.raises(ValueError, match=r'head\.pth does not fit .*0 of its 30'):
        run(weights, load_from=str(tmp_path / 'head.pth'))


def test_a_run_resumes_without_the_pretrained_file(run, weights, tmp_path):
    run(weights)
    (tmp_path / 'pretrained.pth').unlink()
    runner = run(resume=True, **{'train_cfg.max_epochs': 2})
    assert runner.epoch == 2 and holds(runner, weights)


def test_resuming_where_nothing_was_saved_starts_from_the_pretrained_file(run, weights):
    assert holds(run(weights, resume=True), weights)


def test_a_backbone_that_ignores_init_cfg_is_refused(run, weights, monkeypatch):
    monkeypatch.setattr(VisionTransformer, 'init_weights', lambda self: None)
    with pytest.raises(ValueError, match='VisionTransformer did not load the checkpoint'):
        run(weights)


def test_weights_overwritten_after_loading_are_noticed(run, weights):
    with pytest.raises(ValueError, match=r'MAEViT overwrote (cls_token|patch_embed|pos_embed)'):
        run(weights, **{'model.backbone.type': 'mmpretrain.MAEViT'})
