"""Times of frames: those of a sequential decode, and what is done where a file has none."""
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.helpers.video_cases import CASES, VFR_TIMES
from tests.helpers.videos import make_video
from vicmae_mm.datasets.readers import IndexStore, VideoError, VideoReader, open_video
from vicmae_mm.datasets.readers.presentation_times import seconds_from_ticks

from .test_accuracy import torchcodec_or_skip

# Not those without true stamps, which come below.
STAMPED = sorted(set(CASES) - {'h264_avi', 'raw_h264', 'decoding_times_only'})


def decoded_times(path: str) -> list[float]:
    """The truth: PyAV's sequential decode, with exact fractions."""
    with av.open(path) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    return [float(time - times[0]) for time in times]


@pytest.mark.parametrize('name', STAMPED)
def test_times_are_those_of_a_sequential_decode(name, tmp_path):
    try:
        path = str(CASES[name](tmp_path))
    except av.codec.codec.UnknownCodecError as error:
        pytest.skip(f'this PyAV has no encoder {error}')
    truth = decoded_times(path)
    store = IndexStore(str(tmp_path / 'indexes'))
    for kept in (None, store, store):
        with open_video(path, store=kept) as reader:
            assert reader.frame_times.dtype == np.float64
            assert reader.frame_times.tolist() == truth and len(truth) == reader.num_frames


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.ts'])
def test_a_variable_frame_rate(tmp_path, suffix):
    path = make_video(tmp_path / f'vfr{suffix}', 40, pts=VFR_TIMES)
    with open_video(str(path)) as reader:
        expected = (np.array(VFR_TIMES) - VFR_TIMES[0]) / 25
        assert np.allclose(reader.frame_times, expected, atol=6e-4)  # matroska counts ms


@pytest.mark.parametrize('name', ['h264_avi', 'raw_h264', 'decoding_times_only'])
def test_frames_without_true_stamps_follow_each_other_at_the_frame_rate(tmp_path, name):
    path = str(CASES[name](tmp_path))
    store = IndexStore(str(tmp_path / 'indexes'))
    for kept in (None, store, store):
        with open_video(path, store=kept) as reader:
            steps = np.diff(reader.frame_times)
            assert reader.frame_times[0] == 0 and len(steps) + 1 == reader.num_frames
            # A decoder that was given the wrong order drops some frames.
            assert np.allclose(steps[:-4], .04) and (steps > 0).all()


@pytest.mark.parametrize('backend', ['decord', 'torchcodec'])
def test_other_backends_have_the_same_times(tmp_path, backend):
    torchcodec_or_skip() if backend == 'torchcodec' else pytest.importorskip('decord')
    path = str(make_video(tmp_path / 'vfr.mp4', 40, pts=VFR_TIMES))
    with open_video(path, backend) as reader:
        assert type(reader).__name__.lower() == f'{backend}reader'
        assert reader.frame_times.tolist() == decoded_times(path)


@pytest.mark.parametrize('order', [(0, 1), (1, 0)])
def test_a_transport_stream_whose_clock_jumps(tmp_path, order):
    """Recordings that were joined as bytes: backwards, their clock seems to wrap after 26 hours."""
    parts = [make_video(tmp_path / f'{late}.ts', 40, pts=[i + late for i in range(40)])
             for late in (0, 22500)]
    path = tmp_path / 'joined.ts'
    path.write_bytes(b''.join(parts[i].read_bytes() for i in order))
    truth = decoded_times(str(path))
    assert np.abs(np.diff(truth)).max() > 800
    with open_video(str(path)) as reader:
        assert np.allclose(np.diff(reader.frame_times), .04)


def test_missing_stamps():
    def seconds(ticks: list[float | None], fps: float = 10, restarts: bool = False) -> list[float]:
        return seconds_from_ticks(
            np.array(ticks, float), Fraction(1, 10), fps, restarts).tolist()

    assert seconds([None, None, None]) == pytest.approx([0, .1, .2])
    assert seconds([5, None, 9, 10], fps=0) == pytest.approx([0, .2, .4, .5])
    assert seconds([5, 9, 7, 11]) == pytest.approx([0, .2, .4, .6])  # decoding times
    assert seconds([5, 9, 500]) == pytest.approx([0, .4, 49.5])  # a long pause
    assert seconds([5, 9, 500], restarts=True) == pytest.approx([0, .4, .5])
    assert seconds([5, 9, 2, 5], restarts=True) == pytest.approx([0, .4, .5, .8])
    with pytest.raises(ValueError, match='how many there are a second'):
        seconds([None, None], fps=0)


def test_a_reader_that_does_not_know(video, monkeypatch):
    with open_video(video) as reader:
        monkeypatch.setattr(type(reader), '_find_times', VideoReader._find_times)
        with pytest.raises(VideoError, match='does not tell when'):
            _ = reader.frame_times
        monkeypatch.setattr(type(reader), '_find_times', lambda self: np.zeros(3))
        with pytest.raises(VideoError, match='changed'):
            _ = reader.frame_times
