"""Features over time: which frames and windows, their times, and what is refused."""
import numpy as np
import pytest
import torch

from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH
from tests.helpers.runs import save_run
from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.apis import extract_features_over_time, features, load_backbone
from vicmae_mm.datasets.readers import VideoError, open_video, pyav_reader
from vicmae_mm.datasets.readers.image_or_video import prepare_frame
from vicmae_mm.datasets.readers.pyav_reader import PyAVReader
from vicmae_mm.models import Encoder, VideoViT


@pytest.fixture(scope='module')
def encoder(tmp_path_factory):
    return load_backbone(save_run(tmp_path_factory.mktemp('over_time') / 'run'))


@pytest.fixture(scope='module')
def video_encoder():
    backbone = VideoViT(arch=TINY_ARCH, img_size=IMG_SIZE, patch_size=PATCH, num_frames=4,
                        out_type='raw')
    for value in backbone.parameters():
        torch.nn.init.normal_(value, std=.05)
    return Encoder(backbone).eval()


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """Two seconds of 25 frames each, with B-frames."""
    return make_video(tmp_path_factory.mktemp('clips') / 'clip.mp4', num_frames=50)


def pixels_of(path, numbers):
    """Prepared frames (N, 3, S, S), as the reader returns them for their numbers."""
    with open_video(str(path)) as video:
        frames = video.get_frames(numbers)
    assert [read_frame_number(frame) for frame in frames] == [*numbers]
    return torch.stack([prepare_frame(frame, IMG_SIZE) for frame in frames])


@pytest.mark.parametrize('level', ['cls', 'avg'])
@pytest.mark.parametrize('fps, numbers', [(5, range(0, 50, 5)), (25, range(50)), (1000, range(50)),
                                          (12.5, range(0, 50, 2)), (.1, [0])])
def test_frames_at_a_rate(encoder, clip, fps, numbers, level):
    found, times = extract_features_over_time(encoder, str(clip), fps, level, batch_size=7)
    expected = encoder(pixels_of(clip, numbers), level).detach()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert times.tolist() == [[number / 25] * 2 for number in numbers]


def test_windows_are_means_over_their_frames(encoder, clip):
    """At 5 per second there are 10 frames; the window that would begin with the ninth lacks one."""
    found, times = extract_features_over_time(encoder, clip, 5, window=3, stride=2)
    each, _ = extract_features_over_time(encoder, clip, 5)
    expected = torch.stack([each[start:start + 3].mean(0) for start in (0, 2, 4, 6)])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert np.allclose(times, [[0, .4], [.4, .8], [.8, 1.2], [1.2, 1.6]])
    apart, times = extract_features_over_time(encoder, clip, 5, window=2, stride=5)
    torch.testing.assert_close(apart[1], each[5:7].mean(0), atol=1e-5, rtol=1e-5)
    assert np.allclose(times, [[0, .2], [1, 1.2]])
    assert len(extract_features_over_time(encoder, clip, 5, window=3)[0]) == 3  # stride 3


def test_windows_are_the_clips_of_a_video_encoder(video_encoder, clip):
    found, times = extract_features_over_time(video_encoder, clip, 5, 'avg', stride=3)
    pixels = pixels_of(clip, range(0, 50, 5))
    clips = torch.stack([pixels[start:start + 4] for start in (0, 3, 6)]).transpose(1, 2)
    torch.testing.assert_close(found, video_encoder(clips, 'avg').detach())
    assert np.allclose(times, [[0, .6], [.6, 1.2], [1.2, 1.8]])
    with pytest.raises(ValueError, match='window=16: this encoder takes 4 frames'):
        extract_features_over_time(video_encoder, clip, 5, window=16)


@pytest.mark.parametrize('suffix', ['mkv', 'avi', 'mpg'])
def test_other_containers_have_the_frames_that_their_reader_returns(encoder, tmp_path, suffix):
    """Matroska rounds 1 / 30 s to milliseconds: at the rate of the file, each frame once."""
    codec = dict(codec='mpeg2video') if suffix == 'mpg' else {}
    path = make_video(tmp_path / f'a.{suffix}', num_frames=31, fps=30, **codec)
    found, times = extract_features_over_time(encoder, path, 30)
    with open_video(str(path)) as video:
        assert times[:, 0].tolist() == video.frame_times.tolist()
    torch.testing.assert_close(found, encoder(pixels_of(path, range(31)), 'cls').detach(),
                               atol=1e-5, rtol=1e-5)


def test_variable_frame_rates(encoder, tmp_path):
    """The frame that stands still for a second is encoded once, and is not the last before it."""
    pts = [*range(5), *range(30, 75)]
    path = make_video(tmp_path / 'a.mp4', num_frames=50, pts=pts)
    found, times = extract_features_over_time(encoder, path, 5)
    numbers = [0, 4, *range(5, 50, 5)]
    assert np.allclose(times[:, 0], [pts[number] / 25 for number in numbers])
    torch.testing.assert_close(found, encoder(pixels_of(path, numbers), 'cls').detach(),
                               atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('settings, message', [
    (dict(fps=0), 'fps=0 must be above 0'), (dict(fps=-1), 'fps=-1'),
    (dict(fps=float('nan')), 'fps=nan'), (dict(fps=float('inf')), 'fps=inf'),
    (dict(window=0), 'window=0'), (dict(stride=0), 'stride=0'),
    (dict(batch_size=0), 'batch_size=0'),
    (dict(level='tokens'), "level='tokens'"), (dict(level='x'), "level='x'"),
    (dict(window=11), 'clip.mp4 has 10 frames at 5 per second, fewer than a window of 11')])
def test_what_cannot_be_computed_is_refused(encoder, clip, settings, message):
    with pytest.raises(ValueError, match=message):
        extract_features_over_time(encoder, clip, **{'fps': 5, **settings})


def test_what_cannot_be_decoded(encoder, clip, tmp_path, monkeypatch):
    (tmp_path / 'cut.mp4').write_bytes(clip.read_bytes()[:2000])
    with pytest.raises(VideoError, match=r'cut\.mp4: is not a video, or its header'):
        extract_features_over_time(encoder, tmp_path / 'cut.mp4', 5)
    (tmp_path / 'photo.png').write_bytes(_png())
    with pytest.raises(VideoError, match=r'photo\.png: is not a video'):
        extract_features_over_time(encoder, tmp_path / 'photo.png', 5)
    monkeypatch.setattr(PyAVReader, 'frame_times', np.arange(80) / 25)
    with pytest.raises(VideoError, match='frame 50 was requested, but only 50 frames decode'):
        extract_features_over_time(encoder, clip, 5)


def test_frames_are_decoded_once_and_not_kept(encoder, clip, monkeypatch):
    decoded, plain, held = [], pyav_reader.decode_all, []

    def count(path):
        for frame in plain(path):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(pyav_reader, 'decode_all', count)
    times, vectors = features.encoding_over_time(encoder, 25., 'cls', 4, 1, 8)(clip)
    assert len(times) == 47 and not decoded
    for number, vector in enumerate(vectors):
        assert vector.shape == (WIDTH, )
        held.append(len(decoded) - number)
    assert len(decoded) == 50 and max(held) <= 4 + 8


def _png() -> bytes:
    import cv2
    return cv2.imencode('.png', np.zeros((8, 8, 3), np.uint8))[1].tobytes()
