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
from vicmae_mm.apis import extract_features, extract_features_over_time
from vicmae_mm.datasets.readers import pyav_reader


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
    tool(checkpoint, *files, '--level', level, '--out', tmp_path / out, '--frames', 2)
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


def test_bad_files_are_listed_and_the_others_written(tool, checkpoint, files, tmp_path, capsys):
    (tmp_path / 'photos/text.jpg').write_text('no picture')
    with pytest.raises(SystemExit) as stop:
        tool(checkpoint, *files, '--out', tmp_path / 'a.npz')
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 3 and 'text.jpg is neither an image nor a readable video' in lines[0]
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


@pytest.fixture
def videos(tmp_path):
    """A folder with three videos, of which two have the same name."""
    for name in ('b/x.mp4', 'b/a clip.1.mp4', 'c/x.mp4'):
        (tmp_path / 'v' / name).parent.mkdir(parents=True, exist_ok=True)
        make_video(tmp_path / 'v' / name, num_frames=30)
    return tmp_path / 'v'


def test_one_file_per_video_over_time(tool, checkpoint, videos, tmp_path, capsys):
    (videos / 'b/photo.jpg').write_text('is left out')
    out = tmp_path / 'out'
    args = (checkpoint, videos, '--fps', 5, '--window', 2, '--stride', 2, '--out', out)
    tool(*args)
    assert sorted(str(path.relative_to(out)) for path in out.rglob('*.*')) == [
        'features/b/a clip_1.npy', 'features/b/x.npy', 'features/c/x.npy',
        'times/b/a clip_1.npz', 'times/b/x.npz', 'times/c/x.npz']
    expected, times = extract_features_over_time(
        checkpoint, videos / 'b/a clip.1.mp4', 5, window=2)
    features = np.load(out / 'features/b/a clip_1.npy')
    assert features.shape == (len(expected.T), 3) and features.dtype == np.float32
    assert np.array_equal(features, expected.numpy().T)
    assert np.array_equal(np.load(out / 'times/b/a clip_1.npz')['times'], times)
    # Again: what is there stays; what lacks its features, as after an interruption, is made again
    (out / 'features/c/x.npy').unlink()
    kept = (out / 'features/b/x.npy').stat().st_mtime_ns
    tool(*args)
    assert '2 of 3 videos are in' in capsys.readouterr().out
    assert (out / 'features/c/x.npy').is_file()
    assert (out / 'features/b/x.npy').stat().st_mtime_ns == kept
    with pytest.raises(SystemExit, match=r'a clip_1.npy is not of this video, checkpoint and sett'):
        tool(*args[:3], 6, *args[4:])
    (out / 'times/b/x.npz').unlink()
    with pytest.raises(SystemExit, match=r'x.npy is not of this video, checkpoint and settings'):
        tool(*args)


def test_one_file_over_time(tool, checkpoint, videos, tmp_path):
    tool(checkpoint, videos / 'c/x.mp4', videos / 'b', '--fps', 5, '--out', tmp_path / 'a.npz')
    data = np.load(tmp_path / 'a.npz')
    files = [str(videos / name) for name in ('c/x.mp4', 'b/a clip.1.mp4', 'b/x.mp4')]
    assert data['names'].tolist() == [file for file in files for _ in range(6)]
    for file in files:
        features, times = extract_features_over_time(checkpoint, file, 5)
        assert np.array_equal(data['features'][data['names'] == file], features)
        assert np.array_equal(data['times'][data['names'] == file], times)


def test_videos_of_one_name(tool, checkpoint, videos, tmp_path):
    make_video(videos / 'c/x.avi', num_frames=30)
    for other in ('x.avi', 'x'):
        tool(checkpoint, videos / 'b/x.mp4', videos / 'c', '--fps', 5, '--out', tmp_path / other)
        assert sorted(str(path.relative_to(tmp_path / other / 'features')) for path in (
            tmp_path / other / 'features').rglob('*.npy')) == [
                'b/x.npy', 'c/x_avi.npy', 'c/x_mp4.npy']
    make_video(videos / 'b/a clip_1.mp4', num_frames=30)
    with pytest.raises(SystemExit, match=r'a clip_1.mp4 would both be b/a clip_1.npy: rename one'):
        tool(checkpoint, videos, '--fps', 5, '--out', tmp_path / 'y')


def test_videos_that_end_early_leave_no_part(tool, checkpoint, videos, tmp_path, capsys):
    """One is cut in its middle, one is damaged so that it cannot be opened, one is too short."""
    cut = make_video(videos / 'b/cut.ts', num_frames=30)
    cut.write_bytes(cut.read_bytes()[:len(cut.read_bytes()) // 2])
    (videos / 'b/x.mp4').write_bytes(b'no video')
    make_video(videos / 'c/x.mp4', num_frames=2)
    with pytest.raises(SystemExit) as stop:
        tool(checkpoint, videos, '--fps', 5, '--window', 2, '--out', tmp_path / 'out')
    assert stop.value.code == 3
    lines = capsys.readouterr().err.splitlines()[-3:]
    assert 'b/x.mp4: is not a video' in lines[0] and 'c/x.mp4 has 1 frames at 5 per' in lines[1]
    assert lines[2].startswith('error: 2 of 4 files could not be read: ') and len(lines) == 3
    assert sorted(path.name for path in (tmp_path / 'out').rglob('*.*')) == [
        'a clip_1.npy', 'a clip_1.npz', 'cut.npy', 'cut.npz']


@pytest.mark.parametrize('fails', [KeyboardInterrupt, OSError])
def test_an_interruption_leaves_no_file(tool, checkpoint, videos, tmp_path, monkeypatch, fails):
    def stop(*args):
        yield from list(plain(*args))[:2]
        raise fails

    plain = pyav_reader.decode_all
    monkeypatch.setattr(pyav_reader, 'decode_all', stop)
    with pytest.raises((SystemExit, fails)):
        tool(checkpoint, videos / 'b/x.mp4', '--fps', 5, '--batch-size', 1, '--out', tmp_path / 'o')
    assert not [path for path in (tmp_path / 'o').rglob('*') if path.is_file()]


@pytest.mark.parametrize('option, value', [('--fps', 0), ('--fps', 'nan'), ('--workers', -1)])
def test_numbers_out_of_range(tool, checkpoint, option, value):
    with pytest.raises(SystemExit, match=r'^2$'):
        tool(checkpoint, 'clip.mp4', option, value, '--out', 'a.npz')


@pytest.mark.parametrize('args, message', [
    (['PHOTOS', '--window', 2], 'error: --window and --stride count frames at a rate'),
    (['PHOTO', '--fps', 5], 'a photo.png is an image: only videos have features over time'),
    (['PHOTOS', '--fps', 5], 'error: There is no video in '),
    (['', '--fps', 5], 'error: A path is empty.'),
    (['none.mp4', '--fps', 5], 'none.mp4 is missing.'),
    (['FILE', '--fps', 5, '--frames', 2], 'error: --frames and --workers do not'),
    (['FILE', '--fps', 5, '--level', 'tokens'], "error: level='tokens'"),
    (['FILE', '--fps', 5, '--out', 'a.npy'], 'error: a.npy is neither a folder nor a .npz file'),
    (['FILE', '--fps', 5, '--out', 'b.safetensors'], 'error: b.safetensors is neither'),
    (['FILE', '--fps', 5, '--window', 90], 'error: None of the 1 videos can be read.'),
])
def test_one_message_over_time(tool, checkpoint, files, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    names = dict(FILE=files[0], PHOTOS=files[1], PHOTO=files[1] / 'a photo.png')
    args = [names.get(arg, arg) for arg in args]
    with pytest.raises(SystemExit) as stop:
        tool(checkpoint, *args, *([] if '--out' in args else ['--out', 'folder']))
    assert message in stop.value.code and '\n' not in stop.value.code
    assert not [path for path in tmp_path.rglob('*.np*') if path.is_file()]
