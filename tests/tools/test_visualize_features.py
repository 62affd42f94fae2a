"""The command: a picture of all photos, one or an mp4 of each clip, or one line on an error."""
import runpy
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.helpers.runs import save_run
from tests.helpers.videos import draw_frame, make_video


@pytest.fixture(scope='module')
def files(tmp_path_factory) -> Path:
    """A checkpoint, photos, and clips of which two have one name."""
    folder = tmp_path_factory.mktemp('files')
    save_run(folder / 'run')
    for number in range(2):
        (folder / f'{number}').mkdir()
        make_video(folder / f'{number}/clip.mp4', num_frames=4, fps=2)
        Image.fromarray(draw_frame(number)).save(folder / f'{number}/photo.png')
    return folder


@pytest.fixture
def tool(repo, files, tmp_path, monkeypatch):
    """Call the tool with a checkpoint, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str | Path, checkpoint: str | Path = files / 'run/epoch_1.pth') -> None:
        script = repo / 'tools/visualize_features.py'
        monkeypatch.setattr(sys, 'argv', [str(script), *map(str, (checkpoint, *args))])
        runpy.run_path(str(script), run_name='__main__')

    return call


def test_photos_and_clips(tool, files, tmp_path, capsys):
    tool(files / '0', files / '1', '--kinds', 'pca', '--frames', 2, '--device', 'cpu')
    written = ['photos.png', 'clip.png', 'clip-2.png']
    assert capsys.readouterr().out.splitlines() == [f'Wrote feature_maps/{name}'
                                                    for name in written]
    sizes = [Image.open(tmp_path / 'feature_maps' / name).size for name in written]
    assert sizes[1] == sizes[2] == (760, 504)  # 4 x 5 patches
    tool(files / '0/clip.mp4', '--frames', 3, '--out', 'new/folder')
    assert Image.open(tmp_path / 'new/folder/clip.png').size == (1000, 888)


def test_mp4(tool, files, tmp_path):
    tool(files / '0/clip.mp4', '--mp4', '--kinds', 'similarity', '--point', '0.5', '0.6')
    assert [path.name for path in (tmp_path / 'feature_maps').iterdir()] == ['clip.mp4']
    with av.open(str(tmp_path / 'feature_maps/clip.mp4')) as container:
        frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 2  # as the clip's
    assert len(frames) == 4 and not np.array_equal(frames[0], frames[3])


@pytest.mark.parametrize('args, message', [
    (['none.mp4'], 'error: none.mp4 is missing.'),
    (['CKPT'], 'is neither an image nor a readable video'),
    (['CLIP', '--config', 'none.py'], 'error: There is no config none.py.'),
    (['CLIP', '--point', '64', '0'], 'error: The point 64 0 is outside of clip.mp4, 64 x 48 px'),
])
def test_one_message(tool, files, tmp_path, args, message):
    names = dict(CKPT=files / 'run/epoch_1.pth', CLIP=files / '0/clip.mp4')
    with pytest.raises(SystemExit) as stop:
        tool(*(names.get(arg, arg) for arg in args))
    assert message in stop.value.code and '\n' not in stop.value.code
    assert not [*tmp_path.glob('feature_maps/*')]


@pytest.mark.parametrize('args', [
    ['--frames', '0'], ['--size', '0'], ['--kinds', 'input'], ['--point', 'left', '1']])
def test_options_that_cannot_be(tool, files, args):
    with pytest.raises(SystemExit) as stop:
        tool(files / '0', *args)
    assert stop.value.code == 2
