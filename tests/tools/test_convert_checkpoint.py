"""The command: a file of another family, or one line that says what is wrong."""
import argparse
import runpy
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file, save_file

from tests.checkpoints.conversion.helpers import assert_same, randomise
from tests.helpers.models import tiny_config, tiny_vicmae
from tests.helpers.payloads import attacks, safe_torch
from tests.helpers.work_dirs import PREPROCESSOR
from vicmae_mm.checkpoints.conversion import convert


@pytest.fixture
def tool(repo, tmp_path, monkeypatch):
    """Call the tool in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str) -> None:
        script = repo / 'tools/convert_checkpoint.py'
        monkeypatch.setattr(sys, 'argv', [str(script), *args])
        runpy.run_path(str(script), run_name='__main__')

    return call


@pytest.fixture
def state(tmp_path) -> dict:
    """State dict that is in ``run.pth`` as a training run leaves it."""
    state = dict(randomise(tiny_vicmae()).state_dict())
    torch.save(dict(state_dict=state, meta=dict(epoch=1), optimizer=dict(state={})),
               tmp_path / 'run.pth')
    return state


def test_there_and_back(tool, state, capsys):
    tool('run.pth', 'official.pth', '--to', 'official-vicmae')
    official = torch.load('official.pth')
    assert official.keys() == {'model'}
    tool('official.pth', 'back.safetensors')
    assert_same(load_file('back.safetensors'), state)
    *first, last = capsys.readouterr().out.splitlines()
    assert first[-2:] == [f'official.pth: official-vicmae, {len(state)} tensors',
                          '  mapped:    backbone 30, neck 20, projector 16']
    assert last.startswith(f'back.safetensors: vicmae_mm, {len(state)} tensors, 0.0 M numbers')


def test_summary_names_what_is_not_there(tool, state, capsys):
    tool('run.pth', 'out.safetensors', '--to', 'timm', '--encoder-only')
    out = capsys.readouterr().out
    assert '  left out:  neck.mask_token|decoder_pos_embed, ' in out
    assert 'projector.fc2.weight|bias\n' in out
    assert '  not read:  meta, optimizer\n' in out
    assert_same(load_file('out.safetensors'), convert(state, target='timm', encoder_only=True))


@pytest.mark.parametrize('target, wrapper', [
    ('timm', None), ('hf-vit', None), ('mae', 'model'), ('vicmae_mm', 'state_dict')])
def test_pickled_files_are_what_the_family_reads(tool, state, target, wrapper):
    tool('run.pth', 'out.bin', '--from', 'vicmae_mm', '--to', target, '--encoder-only')
    content = torch.load('out.bin')
    content = content if wrapper is None else content[wrapper]
    assert_same(content, convert(state, target=target, encoder_only=True))


def test_options_of_the_authors_runs(tool, state, capsys):
    official = convert(state, target='official-vicmae')
    torch.save(dict(model=official, args=argparse.Namespace(lr=1e-3), epoch=5), 'official.pth')
    tool('official.pth', 'out.pth', '--drop', 'projector.', 'decoder_', 'mask_token')
    assert 'not read:  args, epoch' in capsys.readouterr().out
    assert_same(torch.load('out.pth')['state_dict'], {
        key: value for key, value in state.items() if key.startswith('backbone.')})


@safe_torch
@pytest.mark.parametrize('name', ['os_system', 'eval', 'getattr_globals', 'object_array'])
def test_code_in_a_file_does_not_run(tool, state, tmp_path, name):
    evil = dict(model=state, args=argparse.Namespace(x=attacks(str(tmp_path / 'marker'))[name]))
    torch.save(evil, 'evil.pth')
    with pytest.raises(SystemExit) as stop:
        tool('evil.pth', 'out.pth')
    assert stop.value.code.startswith('error: Refused to load evil.pth')
    assert 'Nothing in it was executed' in stop.value.code
    assert not (tmp_path / 'marker').exists() and not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize('args, message', [
    (['none.pth', 'out.pth'], 'error: There is no checkpoint none.pth.'),
    (['run.pth', 'run.pth'], 'error: run.pth exists: --force replaces it.'),
    (['run.pth', 'out.npz'], 'error: out.npz has none of the suffixes .pth, '),
    (['none.pth', 'run.pth/out.pth'], 'error: run.pth is not a folder: run.pth/out.pth cannot'),
    (['run.pth', 'out.pth', '--to', 'timm'], 'error: run.pth: timm has no place for 36 of the '),
    (['run.pth', 'out.pth', '--from', 'timm'], "error: run.pth: 66 of 66 tensors do not belong to "
     "timm: backbone."),
    (['run.pth', 'out.pth', '--drop', ''], 'error: run.pth: No tensor to drop has a name '),
    (['run.pth', 'out.pth', '--drop', 'head.'], 'error: run.pth: No tensor to drop has a name '),
    (['run.pth', 'out.pth', '--to', 'mae_st'], 'error: run.pth: mae_st networks are for clips '),
    (['other.safetensors', 'out.pth'], 'error: other.safetensors: It looks like an unknown '
     'network (its parameters are called w, ...). Families that can be converted: vicmae_mm, '),
    (['nan.pth', 'out.pth'], 'error: nan.pth: projector.fc2.bias is not finite'),
    (['text.pth', 'out.pth'], 'error: text.pth is not a checkpoint, or is damaged'),
])
def test_one_message(tool, state, tmp_path, args, message):
    save_file(dict(w=torch.zeros(2)), tmp_path / 'other.safetensors')
    (tmp_path / 'text.pth').write_text('no checkpoint')
    torch.save({**state, 'projector.fc2.bias': torch.full((2, ), float('inf'))}, 'nan.pth')
    before = (tmp_path / 'run.pth').read_bytes()
    with pytest.raises(SystemExit) as stop:
        tool(*args)
    assert stop.value.code.startswith(message) and '\n' not in stop.value.code
    assert not (tmp_path / 'out.pth').exists()
    assert (tmp_path / 'run.pth').read_bytes() == before


def test_force(tool, state):
    tool('run.pth', 'run.pth', '--force', '--encoder-only')
    assert all(key.startswith('backbone.') for key in torch.load('run.pth')['state_dict'])


def test_help(tool, capsys):
    with pytest.raises(SystemExit) as stop:
        tool('--help')
    shown = capsys.readouterr().out
    assert stop.value.code == 0 and 'hf-vitmae' in shown and '--drop' in shown


def test_as_a_command(repo, tmp_path):
    script = repo / 'tools/convert_checkpoint.py'
    failed = subprocess.run([sys.executable, script, 'none.pth', 'out.pth'], cwd=tmp_path,
                            capture_output=True, text=True)
    assert failed.returncode == 1 and 'Traceback' not in failed.stderr
    assert failed.stderr.strip().endswith('error: There is no checkpoint none.pth.')


def test_a_folder(tool, state, tmp_path, capsys):
    config = tiny_config(data_preprocessor=PREPROCESSOR)
    Config(dict(model=config)).dump(tmp_path / 'config.py')
    tool('run.pth', 'out-1.0', '--to', 'hf')
    out = capsys.readouterr().out
    assert 'run.pth: vicmae_mm\n  mapped:    backbone 30\n  left out:  neck.mask_token|' in out
    assert 'out-1.0: hf-vit, 38 tensors' in out and 'has no licence yet' in out
    tool('out-1.0', 'other', '--to', 'timm')  # from a folder to a folder
    tool('other', 'back.pth')
    assert_same(torch.load('back.pth')['state_dict'], {
        key: value for key, value in state.items() if key.startswith('backbone.')})
    tool('out-1.0', 'other', '--to', 'hf', '--force')
    assert_same(load_file('other/model.safetensors'), load_file('out-1.0/model.safetensors'))


@pytest.mark.parametrize('args, message', [
    (['run.pth', 'x.safetensors', '--to', 'hf'], 'error: --to hf writes a folder: name DST '),
    (['run.pth', 'file', '--to', 'hf', '--force'], 'file is in the way'),
    (['run.pth', 'empty', '--to', 'hf'], 'empty exists: --force replaces '),
    (['run.pth', 'folder', '--to', 'hf', '--force'], 'folder/a.pth is in the way'),
    (['run.pth', 'file/x', '--to', 'hf', '--config', 'no/ours.py'], 'Not a directory'),
    (['run.pth', 'x', '--to', 'mae'], 'error: x has none of the suffixes .pth, '),
    (['run.pth', 'x', '--to', 'hf', '--drop', 'a'], 'error: --from, --drop, '),
    (['run.pth', 'x.pth', '--config', 'a.py'], 'error: --config is for a folder'),
    (['run.pth', 'x', '--to', 'hf'], 'Cannot infer the architecture of run.pth'),
    (['run.pth', 'x', '--to', 'hf', '--config', 'none.py'], 'There is no config none.py'),
    (['swin.pth', 'x', '--to', 'hf'], 'looks like a Swin Transformer'),
])
def test_a_folder_that_cannot_be_written(tool, state, tmp_path, args, message):
    (tmp_path / 'file').touch()
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'no').mkdir()
    Config(dict(model=tiny_config(data_preprocessor=PREPROCESSOR))).dump(tmp_path / 'no/ours.py')
    (tmp_path / 'folder/a.pth').touch()
    torch.save({'layers.0.blocks.0.norm1.weight': torch.ones(2)}, 'swin.pth')
    with pytest.raises(SystemExit) as stop:
        tool(*args)
    assert message in stop.value.code and '\n' not in stop.value.code
    assert not (tmp_path / 'x').exists() and not (tmp_path / 'x.pth').exists()
