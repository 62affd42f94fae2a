"""The command: a file of features, or one line that says what is wrong."""
import json
import runpy
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from tests.helpers.runs import save_run
from tests.helpers.videos import draw_frame, make_video
from vicmae_mm.apis import extract_features


@pytest.fixture
def checkpoint(tmp_path):
    return save_run(tmp_path / 'run')


@pytest.fixture
def files(tmp_path):
    """A video and a folder with a photo."""
    (tmp_path / 'photos').mkdir()
    Image.fromarray(draw_frame(3)).save(tmp_path / 'photos/a photo.png')
    return [make_video(tmp_path / 'clip.mp4'), tmp_path / 'photos']


@pytest.fixture
def tool(repo, monkeypatch):
    def call(*args):
        script = repo / 'tools/extract_features.py'
        monkeypatch.setattr(sys, 'argv', [str(script), *map(str, args)])
        runpy.run_path(str(script), run_name='__main__')

    return call


def read(path):
    """Features and names of a file of either kind."""
    if path.suffix == '.npz':
        data = np.load(path)
        return torch.from_numpy(data['features']), data['names'].tolist()
    with safe_open(path, 'pt') as file:
        return file.get_tensor('features'), json.loads(file.metadata()['names'])


@pytest.mark.parametrize('out', ['features.npz', 'new/folder/features.safetensors'])
@pytest.mark.parametrize('level', ['cls', 'tokens'])
def test_file_holds_what_the_api_returns(tool, checkpoint, files, tmp_path, out, level, capsys):
    tool(checkpoint, *files, '--level', level, '--out', tmp_path / out, '--num-frames', 2)
    expected, names = extract_features(checkpoint, files, level, num_frames=2)
    features, found = read(tmp_path / out)
    assert torch.equal(features, expected) and found == names
    assert found == [str(files[0]), str(files[1] / 'a photo.png')]
    shape = tuple(expected.shape)
    assert f'Wrote {tmp_path / out}: features {shape} of 2 files' in capsys.readouterr().out
    assert [path.name for path in (tmp_path / out).parent.glob('*part*')] == []


def test_config_named(tool, checkpoint, files, tmp_path):
    config = (tmp_path / 'run/tiny.py').rename(tmp_path / 'mine.py')
    (tmp_path / 'other').mkdir()
    checkpoint = checkpoint.rename(tmp_path / 'other/epoch_1.pth')
    config = config.rename(tmp_path / 'run/mine.py')
    with pytest.raises(SystemExit, match=r'error: Cannot infer the architecture of '):
        tool(checkpoint, *files, '--out', tmp_path / 'a.npz')
    tool(checkpoint, *files, '--out', tmp_path / 'a.npz', '--config', config)
    assert (tmp_path / 'a.npz').is_file()


def test_bad_files_are_listed_and_the_others_written(tool, checkpoint, files, tmp_path):
    (tmp_path / 'photos/text.jpg').write_text('no picture')
    with pytest.raises(SystemExit) as stop:
        tool(checkpoint, *files, '--out', tmp_path / 'a.npz')
    lines = stop.value.code.splitlines()
    assert 'text.jpg is neither an image nor a readable video' in lines[0]
    assert lines[1].startswith('error: 1 of 3 files could not be read: ')
    assert len(read(tmp_path / 'a.npz')[1]) == 2


@pytest.mark.parametrize('args, message', [
    (['none.pth', 'FILE', '--out', 'OUT'], 'error: There is no checkpoint none.pth.'),
    (['FILE', 'FILE', '--out', 'OUT'], 'is not a checkpoint, or is damaged'),
    (['CKPT', 'none.mp4', '--out', 'OUT'], 'error: none.mp4 is missing.'),
    (['CKPT', 'EMPTY', '--out', 'OUT'], 'error: There is no image and no video in'),
    (['CKPT', 'TEXT', '--out', 'OUT'], 'error: None of the 1 files can be read.'),
    (['CKPT', 'FILE', '--out', 'a.txt'], 'error: a.txt has none of the suffixes .npz and'),
    (['CKPT', 'FILE', '--out', 'TEXT/a.npz'], 'error: notes.txt is not a folder'),
    (['CKPT', 'FILE', '--out', 'OUT', '--batch-size', '0'], 'error: batch_size=0'),
    (['CKPT', 'FILE', '--out', 'OUT', '--config', 'none.py'], 'error: There is no config none.py.'),
])
def test_one_message(tool, checkpoint, files, tmp_path, monkeypatch, capsys, args, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'notes.txt').write_text('no video')
    names = dict(CKPT=checkpoint, FILE=files[0], EMPTY='empty', TEXT='notes.txt', OUT='a.npz')
    args = [names.get(arg, arg) for arg in args]
    args = [str(arg).replace('TEXT/', 'notes.txt/') for arg in args]
    with pytest.raises(SystemExit) as stop:
        tool(*args)
    assert message in stop.value.code and '\n' not in stop.value.code
    assert not list(tmp_path.glob('a*.npz'))
    assert ('notes.txt is neither' in capsys.readouterr().err) == ('None of' in message)
