"""SampleFramePair with gaps in seconds: for a constant rate as in frames, else by the times."""
from collections import Counter

import numpy as np
import pytest

from tests.helpers.videos import make_video
from vicmae_mm.datasets.readers import VideoError, VideoReader, open_video
from vicmae_mm.datasets.transforms import SampleClipPair, SampleFramePair


class Timed(VideoReader):
    """A video with given times."""

    def __init__(self, times):
        super().__init__('a.mp4', len(times), 0)
        self.frame_times = np.array(times, float)

    def _decode(self, wanted):
        raise NotImplementedError

    def close(self):
        pass


def draws(transform, number=300, **record) -> list[list[int]]:
    np.random.seed(0)
    return [transform(dict(record))['frame_inds'].tolist() for _ in range(number)]


@pytest.mark.parametrize(('total', 'gap'), [
    (1, 1), (2, 4.5), (40, 0), (40, 39), (41, 4.5), (41, 60)])
@pytest.mark.parametrize(('kind', 'rate', 'digits'), [  # matroska's times are whole milliseconds
    (SampleFramePair, 25, 9), (SampleFramePair, 30 / 1.001, 3), (SampleClipPair, 30 / 1.001, 3)])
def test_constant_rate_draws_as_in_frames(total, rate, digits, gap, kind):
    clip = {} if kind is SampleFramePair else dict(clip_len=2)
    reader = Timed(np.round(np.arange(total) / rate, digits))
    settings = [dict(mode='continuous', delta=int(gap)),
                dict(mode='continuous', delta_seconds=gap / rate)]
    if gap >= 2:
        settings += [dict(max_gap=int(gap), num_sections=3),
                     dict(max_gap_seconds=gap / rate, num_sections=3)]
    for one, other in zip(settings[::2], settings[1::2], strict=True):
        frames = draws(kind(**clip, **one), 20, total_frames=total)
        assert frames == draws(kind(**clip, **other), 20, total_frames=total, video_reader=reader)


@pytest.mark.parametrize('gap', [2, 4])
def test_stored_frames_of_a_constant_rate_draw_as_in_frames(gap):
    stored = np.array([1, 3, 6, 8, 15])
    record = dict(total_frames=20, stored_frames=stored, stored_times=stored / 25)
    for one, other in ((dict(mode='continuous', delta=gap),
                        dict(mode='continuous', delta_seconds=gap / 25)),
                       (dict(max_gap=4), dict(max_gap_seconds=4 / 25))):
        assert draws(SampleFramePair(**one), **record) == draws(
            SampleFramePair(**other), **record)


def test_a_variable_rate_has_its_own_frames_only():
    """Frames at 0, .1, .2, 5, 5.1 and 9 s: uniform among those with a partner in time."""
    times = [0, .1, .2, 5, 5.1, 9]
    pairs = Counter(map(tuple, draws(SampleFramePair(mode='continuous', delta_seconds=.25), 6000,
                                     total_frames=6, video_reader=Timed(times))))
    assert pairs.keys() == {(0, 1), (0, 2), (1, 2), (3, 4)}
    for pair, share in (((0, 1), 1 / 6), ((0, 2), 1 / 6), ((1, 2), 1 / 3), ((3, 4), 1 / 3)):
        assert pairs[pair] / 6000 == pytest.approx(share, abs=.03)
    distant = {*map(tuple, draws(SampleFramePair(max_gap_seconds=.25), total_frames=6,
                                 video_reader=Timed(times)))}
    assert distant == {(0, 1), (0, 2), (1, 2), (3, 4)}
    with pytest.raises(VideoError, match=r'no two of its frames are within 0\.05 s'):
        draws(SampleFramePair(mode='continuous', delta_seconds=.05), 1, total_frames=6,
              video_reader=Timed(times), filename='a.mp4')


def test_times_of_a_file_and_within_a_segment(tmp_path):
    stamps = [0, 1, 2, 50, 51, 52, 90, 91, 150]
    path = make_video(tmp_path / 'a.mp4', 9, fps=25, pts=stamps)
    with open_video(str(path)) as reader:
        pairs = {*map(tuple, draws(SampleFramePair(mode='continuous', delta_seconds=.1),
                                   total_frames=5, start_index=3, video_reader=reader))}
    assert pairs == {(3, 4), (3, 5), (4, 5), (6, 7)}


def test_stored_frames_of_a_variable_rate():
    stored, times = np.array([0, 10, 11, 30]), np.array([0, 2, 4, 4.4])
    record = dict(total_frames=31, stored_frames=stored, stored_times=times)
    for settings in (dict(mode='continuous', delta_seconds=.5), dict(max_gap_seconds=.5)):
        assert {*map(tuple, draws(SampleFramePair(**settings), **record))} == {(11, 30)}


@pytest.mark.parametrize(('settings', 'words'), [
    (dict(max_gap=3, max_gap_seconds=1), 'not in both'),
    (dict(mode='continuous', delta=3, delta_seconds=1), 'not in both'),
    (dict(mode='continuous', delta=3, max_gap_seconds=1), 'not in both'),
    (dict(delta_seconds=1), "no meaning for mode='distant'"),
    (dict(mode='continuous', max_gap_seconds=1), 'needs delta'),
    (dict(max_gap_seconds=0), 'above 0'), (dict(max_gap_seconds=-1), 'above 0'),
    (dict(mode='continuous', delta_seconds='1'), '0 or more'),
    (dict(mode='continuous', delta_seconds=True), '0 or more'),
    (dict(mode='continuous', delta_seconds=float('inf')), '0 or more')])
def test_wrong_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        SampleFramePair(**settings)


@pytest.mark.parametrize('record', [
    dict(), dict(video_reader=object()), dict(stored_frames=np.array([1, 4]))])
def test_without_times(record):
    with pytest.raises(ValueError, match='need the times of frames'):
        SampleFramePair(max_gap_seconds=1).transform(dict(record, total_frames=9))
