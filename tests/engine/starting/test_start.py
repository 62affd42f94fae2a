"""Each row of the table in docs/checkpoints.md, and what it means for init_cfg."""
import os
import re
import tempfile
from functools import cache
from itertools import product
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from mmengine.runner import Runner

from tests.conftest import REPO
from tests.helpers.classifiers import classifier_config, write_photos
from tests.helpers.models import tiny_vicmae
from tests.helpers.runs import PREPROCESSOR, FixedPairs, tiny_config, tiny_runner
from vicmae_mm.engine.starting import start
from vicmae_mm.engine.starting.start import choose_start

SAFE = dict(checkpoint=dict(type='vicmae_mm.SafeCheckpointHook', interval=1), logger=None)
HOOKS = dict(ours=SAFE, stock=dict(checkpoint=dict(type='CheckpointHook', interval=1), logger=None),
             none=dict(checkpoint=None))


def table() -> list[tuple[str, str, str, str]]:
    """The rows, with one for each value that 'any' stands for."""
    text = (REPO / 'docs/checkpoints.md').read_text().split('## What a run starts from')[1]
    rows = [[cell.strip(' `') for cell in line.strip('|').split('|')]
            for line in text.split('\n## ')[0].splitlines() if line.startswith('|')][2:]
    every = [(asked, named, folder, result) for asked, name, place, result in rows
             for named, folder in product(['none', 'X'] if name == 'any' else [name],
                                          ['empty', 'used'] if place == 'any' else [place])]
    assert len(every) == 16 == len({row[:3] for row in every})  # all combinations, each once
    return every


@cache
def about_to_train(kind: str) -> Runner:
    """A runner with our hook for checkpoints, mmengine's, or none."""
    with tempfile.TemporaryDirectory() as folder:
        runner = tiny_runner(Path(folder), [], default_hooks=HOOKS[kind])
    runner.train_loop  # noqa: B018  (builds it)
    return runner


def decide(folder: Path, resume: bool | str, load_from: str | None,
           kind: str) -> tuple[Runner, str]:
    """The runner after the decision, and its line in the log."""
    runner, lines = about_to_train(kind), []
    runner._work_dir, runner._resume, runner._load_from = str(folder), resume, load_from
    start._decided.clear()
    with (patch.object(runner.logger, 'info', lines.append),
          patch.object(runner.logger, 'warning', lines.append)):
        choose_start(runner)
        choose_start(runner)  # nothing happens
    line, = (line for line in lines if line.count('Training '))
    return runner, line


@pytest.mark.parametrize('kind', ['ours', 'stock'])
@pytest.mark.parametrize('row', table(), ids=' '.join)
def test_row(row, kind, tmp_path):
    asked, named, place, result = row
    if place == 'used':
        for number in (1, 2):
            torch.save({}, tmp_path / f'epoch_{number}.pth')
            os.utime(tmp_path / f'epoch_{number}.pth', (1e9 + number, ) * 2)
    values = {'no': False, '--resume': 'auto', '--resume PATH': 'PATH', 'resume=True': True}
    runner, line = decide(tmp_path, values[asked], 'X' if named == 'X' else None, kind)
    path = next((path for words, path in {
        'resumes the newest': str(tmp_path / 'epoch_2.pth'), 'resumes PATH': 'PATH',
        'resumes X': 'X', 'starts from the weights in X': 'X',
        "starts from the model's own": None}.items() if result.startswith(words)), 'unknown')
    assert (runner._resume, runner._load_from) == (result.startswith('resumes'), path)
    assert path is None or path in line
    is_ignored = named == 'X' and path != 'X'
    assert ('load_from=X is not used' in line) == is_ignored <= ('X is not used' in result)


def test_the_decision_is_taken_without_hooks_of_ours_too(tmp_path):
    torch.save({}, tmp_path / 'epoch_1.pth')
    runner, _ = decide(tmp_path, 'auto', 'X', 'none')
    assert runner._load_from == str(tmp_path / 'epoch_1.pth')


@pytest.fixture
def weights(tmp_path) -> Path:
    state = {key: value + 1 for key, value in tiny_vicmae().state_dict().items()}
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'weights.pth')
    return tmp_path / 'weights.pth'


@pytest.mark.parametrize('init_cfg', [
    dict(type='Pretrained', checkpoint='none.pth', prefix='backbone.'), dict(checkpoint='none.pth')
])
def test_init_cfg_needs_no_file_if_it_is_not_used(init_cfg, weights, tmp_path):
    tiny_runner(tmp_path / 'run', [], epochs=1, dataset=FixedPairs(), default_hooks=SAFE).train()
    model = tiny_config(data_preprocessor=PREPROCESSOR, backbone=dict(init_cfg=init_cfg))
    hooks = [dict(type='vicmae_mm.PretrainedFitHook', allow_untrained=True)]
    settings = dict(dataset=FixedPairs(), default_hooks=SAFE, model=model)
    tiny_runner(tmp_path / 'run', [], resume='auto', **settings).train()  # no hook needed
    tiny_runner(tmp_path / 'b', hooks, load_from=str(weights), **settings).train()
    with pytest.raises(FileNotFoundError, match=r'no checkpoint none\.pth'):
        tiny_runner(tmp_path / 'c', hooks, **settings).train()


@pytest.mark.parametrize('settings', ['load_from', 'init_cfg'])
def test_pretraining_from_weights(settings, weights, tmp_path):
    model = tiny_config(data_preprocessor=PREPROCESSOR)
    load_from = str(weights)
    if settings == 'init_cfg':
        model.backbone.init_cfg, load_from = dict(checkpoint=load_from), None
    runner = tiny_runner(
        tmp_path / 'run', [dict(type='vicmae_mm.PretrainedFitHook', allow_untrained=True)],
        epochs=1, model=model, load_from=load_from, optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.)))
    runner.train()
    saved = torch.load(weights)['state_dict']
    assert all(torch.equal(value, saved[f'backbone.{key}'])
               for key, value in runner.model.backbone.state_dict().items())


@pytest.mark.parametrize('change, words', [
    (dict(arch=dict(embed_dims=48, num_layers=2, num_heads=2, feedforward_channels=64)), 'shape'),
    (dict(arch=dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)), 'missing'),
    (dict(arch=dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=64)),
     'not in the model'), (dict(patch_size=4), 'projection')])
def test_pretraining_on_another_encoder_stops(change, words, weights, tmp_path):
    hook = dict(type='vicmae_mm.PretrainedFitHook', allow_untrained=True)
    model = tiny_config(data_preprocessor=PREPROCESSOR, backbone=change, decoder=None, head=None,
                        projector=dict(in_channels=change.get('arch', {}).get('embed_dims', 32)))
    with pytest.raises(ValueError, match=rf'does not fit the encoder .*{words}') as caught:
        tiny_runner(tmp_path / 'run', [hook], load_from=str(weights), model=model).train()
    assert 'allow_untrained' not in str(caught.value)  # this may start untrained anyway


def test_load_from_dropped_by_another_tool_is_noticed(tmp_path):
    cfg = classifier_config(tmp_path / 'run', write_photos(tmp_path / 'photos'))
    cfg.load_from = 'weights.pth'
    cfg.default_hooks.update(checkpoint=dict(type='vicmae_mm.SafeCheckpointHook'))
    cfg.dump(tmp_path / 'config.py')
    cfg = start.Config.fromfile(tmp_path / 'config.py')
    cfg.resume, cfg.load_from = True, None  # as mmpretrain's train.py does for --resume
    with pytest.raises(ValueError, match=re.escape(
            f'load_from=weights.pth of {tmp_path}/config.py was dropped')):
        Runner.from_cfg(cfg).train()
