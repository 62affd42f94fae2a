"""A checkpoint of another model stops a run before it starts."""
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from tests.helpers.classifiers import classifier_runner, write_photos
from tests.helpers.models import tiny_config, tiny_vicmae
from tests.helpers.runs import PREPROCESSOR, tiny_runner

HOOK = dict(type='vicmae_mm.CheckpointFitHook')


def save(path: Path, weights: dict) -> str:
    torch.save(dict(state_dict=weights, meta={}), path)
    return str(path)


@pytest.fixture
def own(tmp_path) -> str:
    return save(tmp_path / 'own.pth', tiny_vicmae().state_dict())


@pytest.fixture
def other(tmp_path) -> str:
    return save(tmp_path / 'other.pth', {'layer1.0.conv1.weight': torch.ones(3)})


def test_an_encoder_may_be_loaded(tmp_path, own):
    encoder = {k: v + 1 for k, v in tiny_vicmae().state_dict().items() if k.startswith('backbone')}
    path = save(tmp_path / 'encoder.pth', encoder)
    runner = tiny_runner(tmp_path / 'run', [HOOK], load_from=path)
    runner.load_or_resume()
    assert torch.equal(runner.model.backbone.cls_token, encoder['backbone.cls_token'])


def test_a_foreign_file_is_refused_and_nothing_is_written(tmp_path, other):
    runner = tiny_runner(tmp_path / 'run', [HOOK], load_from=other)
    message = r'contains none of the parameters.*It looks like a ResNet'
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert not list((tmp_path / 'run').rglob('*.pth'))


def test_resuming_needs_the_whole_model(tmp_path, own):
    mae = tiny_config(data_preprocessor=PREPROCESSOR, contrast_head=None, projector=None)
    runner = tiny_runner(tmp_path / 'run', [HOOK], load_from=own, resume=True, model=mae)
    with pytest.raises(ValueError, match=r'own\.pth does not fit.*such as projector\.fc0'):
        runner.train()


def test_a_run_resumes_its_own_checkpoint(tmp_path):
    checkpoint = dict(checkpoint=dict(type='CheckpointHook', interval=1))
    tiny_runner(tmp_path, [HOOK], epochs=1, default_hooks=checkpoint).train()
    runner = tiny_runner(tmp_path, [HOOK], epochs=2, default_hooks=checkpoint, resume=True)
    runner.train()
    assert runner.epoch == 2 and (tmp_path / 'epoch_2.pth').exists()


def test_a_run_resumes_with_the_groups_of_its_optimizer(tmp_path):

    def runner(constructor: str, epochs: int, **kwargs) -> Runner:
        return tiny_runner(
            tmp_path, [HOOK], epochs,
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
            optim_wrapper=dict(
                optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.1), constructor=constructor,
                paramwise_cfg=dict(norm_decay_mult=0.)), **kwargs)

    runner('DefaultOptimWrapperConstructor', 1).train()
    with pytest.raises(ValueError, match=(
            r'newest checkpoint in .* has \d\d parameter groups \((\d+) parameters\).*makes 2 '
            r'\(\1\).*'
            r'optim_wrapper\.constructor=DefaultOptimWrapperConstructor')):
        runner('vicmae_mm.FusedOptimWrapperConstructor', 2, resume=True).train()
    runner('DefaultOptimWrapperConstructor', 2, resume=True).train()
    assert (tmp_path / 'epoch_2.pth').exists()


def test_testing_needs_the_whole_model(tmp_path, own):
    photos = write_photos(tmp_path / 'photos')
    runner = classifier_runner(tmp_path / 'run', photos, custom_hooks=[HOOK], load_from=own)
    with pytest.raises(ValueError, match=(
            r'own\.pth does not fit .*2 are missing, such as head\.fc\.weight.*'
            r'looks like a ViC-MAE')):
        runner.test()


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_a_whole_model_is_tested_at_another_size(tmp_path, prefix):
    photos = write_photos(tmp_path / 'photos')
    state = classifier_runner(tmp_path / 'train', photos).model.state_dict()
    path = save(tmp_path / 'whole.pth', {prefix + key: value + 1 for key, value in state.items()})
    runner = classifier_runner(
        tmp_path / 'test', photos, custom_hooks=[HOOK], load_from=path,
        **{'model.backbone.img_size': 64})
    runner.test()
    assert torch.equal(runner.model.backbone.cls_token, state['backbone.cls_token'] + 1)
