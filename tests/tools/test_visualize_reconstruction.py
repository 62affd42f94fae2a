"""The command: a picture, or one line that says what is wrong."""
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.runs import save_run
from tests.helpers.videos import draw_frame, make_audio, make_video


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return save_run(tmp_path / 'run')


@pytest.fixture
def clip(tmp_path) -> Path:
    return make_video(tmp_path / 'a clip.mp4')


@pytest.fixture
def tool(repo, tmp_path, monkeypatch):
    """Call the tool in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str | Path) -> None:
        script = repo / 'tools/visualize_reconstruction.py'
        monkeypatch.setattr(sys, 'argv', [str(script), *map(str, args)])
        runpy.run_path(str(script), run_name='__main__')

    return call


def test_videos_and_images_in_one_picture(tool, checkpoint, clip, tmp_path, capsys):
    Image.fromarray(draw_frame(0)).save(tmp_path / 'photo.png')
    tool(checkpoint, clip, tmp_path / 'photo.png')
    assert capsys.readouterr().out.strip().endswith('Wrote reconstruction.png')
    both = np.asarray(Image.open(tmp_path / 'reconstruction.png'))
    tool(checkpoint, clip, '--out', 'clip.png')
    clip_only = np.asarray(Image.open(tmp_path / 'clip.png'))
    assert len(both) - len(clip_only) == 28 + 198  # a caption and one row more
    assert np.array_equal(both[:450], clip_only[:450])


@pytest.mark.parametrize('out, written', [
    ('new/folder', 'new/folder/reconstruction.png'),
    ('new/mine.png', 'new/mine.png'),
    ('run.v1.2', 'run.v1.2/reconstruction.png'),
])
def test_out(tool, checkpoint, clip, tmp_path, out, written):
    tool(checkpoint, clip, '--out', out)
    assert Image.open(tmp_path / written).format == 'PNG'


def test_options(tool, checkpoint, clip, tmp_path):
    config = (tmp_path / 'run/tiny.py').rename(tmp_path / 'mine.py')
    pictures = []
    for extra in ([], ['--seed', 1], ['--mask-ratio', 0.5]):
        tool(checkpoint, clip, '--config', config, '--device', 'cpu', *extra)
        pictures.append(np.asarray(Image.open(tmp_path / 'reconstruction.png')))
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


@pytest.mark.parametrize('args, message', [
    (['none.pth', 'CLIP'], 'error: There is no checkpoint none.pth.'),
    (['CKPT', 'none.mp4'], 'error: none.mp4 is missing.'),
    (['CKPT', 'CKPT'], 'is neither an image nor a readable video'),
    (['CKPT', 'SOUND'], 'is neither an image nor a readable video'),
    (['CKPT', 'CLIP', '--config', 'none.py'], 'error: There is no config none.py.'),
    (['CKPT', 'CLIP', '--mask-ratio', '1'], 'error: mask_ratio=1.0 must be in [0, 1)'),
    (['CKPT', 'CLIP', '--config', 'CLIP'], 'a clip.mp4 is not a config'),
    (['none.pth', 'CLIP', '--out', 'a.gif'], 'error: a.gif has none of the suffixes .png, .jpg'),
    (['none.pth', 'CLIP', '--out', 'CLIP/a.png'], 'clip.mp4 is not a folder'),
    (['CONTRAST', 'CLIP'], 'error: This model has no decoder'),
])
def test_one_message(tool, checkpoint, clip, tmp_path, args, message):
    names = {'CKPT': checkpoint, 'CLIP': clip, 'CLIP/a.png': clip / 'a.png'}
    if 'SOUND' in args:
        names['SOUND'] = make_audio(tmp_path / 'sound.m4a')
    if 'CONTRAST' in args:
        names['CONTRAST'] = save_run(tmp_path / 'contrast', decoder=None, head=None)
    with pytest.raises(SystemExit) as stop:
        tool(*(names.get(arg, arg) for arg in args))
    assert message in stop.value.code and '\n' not in stop.value.code
    assert not (tmp_path / 'reconstruction.png').exists()


@pytest.mark.parametrize('option, value, message', [
    ('--device', 'gpu0', "'gpu0' cannot be used"),
    ('--mask-ratio', '1.5', 'must be 0 to 1'),
    ('--seed', '-1', 'must be 0 to 9223372036854775807')])
def test_wrong_options(tool, checkpoint, clip, capsys, option, value, message):
    with pytest.raises(SystemExit, match=r'^2$'):
        tool(checkpoint, clip, option, value)
    assert message in capsys.readouterr().err
