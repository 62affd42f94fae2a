"""Rendering of the quickstart's clips."""
import av
import numpy as np
import pytest
from PIL import Image

from vicmae_mm.commands.quickstart import clips as clips_module
from vicmae_mm.commands.quickstart.clips import FPS, NUM_FRAMES, render_clips, write_clip
from vicmae_mm.commands.quickstart.digit_scenes import SIDE, load_worlds
from vicmae_mm.datasets.readers import open_video
from vicmae_mm.utils import progress


@pytest.fixture(scope='module')
def world():
    return load_worlds()[0]


def test_clips_are_h264_of_the_promised_number_and_length(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, 'LOG_INTERVAL', 0)
    assert render_clips(tmp_path / 'clips', world, 3, 0)
    shown = [line.split(',')[0] for line in capsys.readouterr().err.splitlines()]
    assert shown == [f'Rendering: {done} of 3' for done in (1, 2, 3)]
    clips = sorted((tmp_path / 'clips').glob('*.mp4'))
    assert [clip.name for clip in clips] == ['00000.mp4', '00001.mp4', '00002.mp4']
    for clip in clips:
        with av.open(str(clip)) as container:
            assert container.streams.video[0].codec_context.name == 'h264'
        with open_video(str(clip)) as video:
            assert (video.num_frames, video.fps) == (NUM_FRAMES, FPS)
            frames = np.stack(video.get_frames(range(NUM_FRAMES)))
        assert frames.shape == (NUM_FRAMES, SIDE, SIDE, 3)
        steps = np.abs(np.diff(frames.astype(int), axis=0)).mean((1, 2, 3))
        assert (steps > 0.5).all(), 'something moves from each frame to the next'


def test_images_are_single_scenes_in_other_poses_than_the_clips(world, tmp_path):
    for name, seed in (('a', 0), ('b', 0), ('c', 1)):
        assert render_clips(tmp_path / name, world, 3, seed, stills=True)
        assert not render_clips(tmp_path / name, world, 3, seed, stills=True)
    a, b, c = (np.stack([np.array(Image.open(path)) for path in sorted((tmp_path / name).glob(
        '*.png'))]) for name in 'abc')
    assert a.shape == (3, SIDE, SIDE, 3)
    assert (a == b).all() and (a != c).any((1, 2, 3)).all()
    render_clips(tmp_path / 'clips', world, 3, 0)
    for path in (tmp_path / 'clips').glob('*.mp4'):
        with open_video(str(path)) as video:
            frames = np.stack(video.get_frames(range(NUM_FRAMES)))
        # H.264 changes a value by about 2
        assert all(np.abs(frames.astype(int) - image).mean((1, 2, 3)).min() > 10 for image in a)


def test_clips_of_the_same_settings_are_reused(world, tmp_path):
    folder = tmp_path / 'clips'
    assert render_clips(folder, world, 4, 0)
    before = {clip.name: clip.read_bytes() for clip in folder.glob('*.mp4')}
    assert not render_clips(folder, world, 4, 0)
    assert render_clips(folder, world, 2, 1)
    after = {clip.name: clip.read_bytes() for clip in folder.glob('*.mp4')}
    assert len(after) == 2 and after['00000.mp4'] != before['00000.mp4']


def test_an_interrupted_rendering_is_done_again(world, tmp_path, monkeypatch):
    def stop(path, frames):
        write_clip(path, frames)
        if path.stem == '00001':
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(clips_module, 'write_clip', stop)
        render_clips(tmp_path / 'clips', world, 3, 0)
    assert render_clips(tmp_path / 'clips', world, 3, 0)


def test_the_seed_decides(world, tmp_path):
    for name, seed in (('a', 0), ('b', 0), ('c', 1)):
        render_clips(tmp_path / name, world, 2, seed)
    a, b, c = ((tmp_path / name / '00001.mp4').read_bytes() for name in 'abc')
    assert a == b != c


def test_clips_of_the_same_settings_have_the_same_bytes(world, tmp_path):
    # x264's assembly gave other bytes in one of about twelve encodings
    contents = []
    for name in 'ab':
        render_clips(tmp_path / name, world, 40, 0)
        contents.append([path.read_bytes() for path in sorted((tmp_path / name).glob('*.mp4'))])
    assert contents[0] == contents[1]


def test_other_files_are_left_alone(world, tmp_path):
    (tmp_path / 'thesis.txt').write_text('mine')
    with pytest.raises(FileExistsError, match=r'thesis\.txt.*--work-dir'):
        render_clips(tmp_path, world, 2, 0)
    assert (tmp_path / 'thesis.txt').read_text() == 'mine'


@pytest.mark.parametrize('num_clips', [0, 5000])
def test_no_more_clips_than_digits(world, tmp_path, num_clips):
    with pytest.raises(ValueError, match=f'num_clips={num_clips}'):
        render_clips(tmp_path / 'clips', world, num_clips, 0)
