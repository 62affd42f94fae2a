"""Which frames are packed of a video, and how."""
import errno
import os

import cv2
import numpy as np
import pytest

from tests.helpers.failing_disk import failing_disk
from tests.helpers.video_cases import VFR_TIMES
from tests.helpers.videos import draw_frame, make_video, read_frame_number
from vicmae_mm.commands.preparation.pack_video import PackJob, PackSettings, pack_video
from vicmae_mm.datasets.readers import open_video, pyav_reader


def pictures(packed) -> list[np.ndarray]:
    return [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in packed.jpegs]


@pytest.mark.parametrize('frames', [1, 2, 16])
@pytest.mark.parametrize('total', [1, 2, 15, 16, 17, 31, 300, 301])
def test_evenly_spread(frames, total):
    chosen = PackSettings(frames=frames).choose(total)
    assert len(chosen) == len(set(chosen)) == min(frames, total) and sorted(chosen) == chosen
    assert chosen[0] >= 0 and chosen[-1] < total
    assert total < frames or max(np.diff(chosen), default=0) <= -(-total // frames)
    for sections in range(1, frames // 2 + 1):
        if total >= frames:  # each section has a frame, as SampleFramePair cuts them
            edges = np.arange(sections + 1) * total // sections
            assert (np.histogram(chosen, edges - .5)[0] > 0).all()


def test_middles_of_equal_parts():
    assert PackSettings(frames=4).choose(12) == [1, 4, 7, 10]
    assert PackSettings(frames=3).choose(8) == [1, 4, 6]


def test_every_nth():
    assert PackSettings(every=4).choose(10) == [0, 4, 8]
    assert PackSettings(every=1).choose(50) == list(range(50))
    # two of any video that has two, or a short one would stop a training with delta=4
    assert [PackSettings(every=4).choose(n) for n in (1, 2, 4, 5)] == [[0], [0, 1], [0, 3], [0, 4]]


def test_pictures(tmp_path):
    path = str(make_video(tmp_path / 'a.mp4', 50, size=(120, 64)))
    packed = pack_video(PackJob(0, path, PackSettings(every=1, short_side=48)))
    assert packed.total_frames == 50 and packed.frames == tuple(range(50))
    assert [read_frame_number(picture) for picture in pictures(packed)] == list(range(50))
    assert {picture.shape for picture in pictures(packed)} == {(48, 90, 3)}
    assert packed.size == sum(map(len, packed.jpegs))


def test_never_enlarged_and_in_the_right_colours(tmp_path):
    path = str(make_video(tmp_path / 'a.mp4', 3, size=(64, 48), options=dict(crf='1')))
    sizes = []
    for quality in (95, 50):
        packed = pack_video(PackJob(0, path, PackSettings(quality=quality)))
        for number, picture in zip(packed.frames, pictures(packed), strict=True):
            assert picture.shape == (48, 64, 3)
            difference = picture[..., ::-1].astype(int)[30:] - draw_frame(number)[30:]
            assert np.median(np.abs(difference)) < 12
        sizes.append(packed.size)
    assert sizes[1] < sizes[0]


def test_bad_videos(tmp_path):
    (tmp_path / 'text.mp4').write_text('no video')
    text, gone = (pack_video(PackJob(0, str(tmp_path / name), PackSettings())).problem
                  for name in ('text.mp4', 'gone.mp4'))
    assert 'not a video' in text and gone == 'does not exist'


@pytest.mark.parametrize('kind', ['avi', 'ts'])
def test_frames_that_are_counted_are_decoded_in_one_pass(tmp_path, monkeypatch, kind):
    path = make_video(tmp_path / f'a.{kind}', 300, codec='mpeg4')
    decoded, plain = [], pyav_reader.decode_all

    def counting(path):
        for frame in plain(path):
            decoded.append(frame.width)
            yield frame

    monkeypatch.setattr(pyav_reader, 'decode_all', counting)
    pyav_reader.count_frames.cache_clear()
    packed = pack_video(PackJob(0, str(path), PackSettings(every=2)))
    assert packed.frames == tuple(range(0, 300, 2))
    assert len(decoded) <= 3 * 300  # once to count, once to read
    assert [read_frame_number(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            for picture in pictures(packed)[:200:7]] == list(range(0, 300, 14))


def test_frames_that_are_counted_in_any_order(tmp_path):
    with open_video(str(make_video(tmp_path / 'a.avi', 40, codec='mpeg4'))) as video:
        for wanted in ([3, 5], [6], [5, 9], [30], [39], [39, 0], [1, 2]):
            frames = video.get_frames(wanted)
            assert [read_frame_number(frame) for frame in frames] == wanted


@pytest.mark.parametrize('kind, codec', [('mp4', 'libx264'), ('avi', 'mpeg4')])
def test_nothing_is_packed_while_reads_fail(tmp_path, kind, codec):
    path = str(make_video(tmp_path / f'a.{kind}', 60, codec=codec))
    job = PackJob(0, path, PackSettings())
    with failing_disk(path, errno.EIO, os.path.getsize(path) // 2):
        failed = pack_video(job)
    assert failed.again and failed.problem == 'could not be read now (Input/output error)'
    assert pack_video(job).total_frames == 60
    (tmp_path / 'text.mp4').write_text('no video')
    assert not pack_video(PackJob(0, str(tmp_path / 'text.mp4'), PackSettings())).again


@pytest.mark.parametrize('seconds', [.04, .12, 1/3, 1, 2, 50])
@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.ts'])
def test_every_so_many_seconds(tmp_path, seconds, suffix):
    """Of a screen recording: the frame that is shown at each multiple."""
    path = str(make_video(tmp_path / f'vfr{suffix}', 40, pts=VFR_TIMES))
    with open_video(path) as video:
        times = video.frame_times.tolist()
    packed = pack_video(PackJob(0, path, PackSettings(every_seconds=seconds)))
    shown = {max(i for i in range(40) if times[i] <= k * seconds + 1e-9)
             for k in range(1 + int(times[-1] / seconds + 1e-9))}
    assert packed.frames == tuple(sorted(shown if len(shown) > 1 else {0, 39}))
    assert packed.times == tuple(times[i] for i in packed.frames)
    assert packed.duration == pytest.approx(2 * times[-1] - times[-2])
    assert [read_frame_number(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            for picture in pictures(packed)] == list(packed.frames)
