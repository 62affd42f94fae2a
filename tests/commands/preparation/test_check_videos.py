"""What counts as a bad video, and what is remembered of it."""
import json
import os
from functools import partial

import numpy as np
import pytest

from tests.helpers.video_cases import CASES
from tests.helpers.videos import make_audio, make_video
from vicmae_mm.commands.preparation import check_videos as check
from vicmae_mm.commands.preparation.check_videos import (
    CheckRecord,
    check_video,
    report_videos,
    summarize,
    write_bad_videos,
)
from vicmae_mm.commands.preparation.pack_video import PackJob, PackSettings, pack_video
from vicmae_mm.datasets import VideoPairDataset
from vicmae_mm.datasets.bad_videos.limit import BadVideos
from vicmae_mm.utils.file_state import file_state

from .test_reencode import damage


@pytest.mark.parametrize('name, options', [
    ('a.mp4', {}), ('a b.mkv', dict(num_frames=1)), ('a.avi', dict(codec='mpeg4')),
    ('a.ts', dict(num_frames=5))])
def test_good_videos(tmp_path, name, options):
    path = str(make_video(tmp_path / name, **options))
    assert check_video(path) is None and check_video(path, every_frame=True) is None


def test_pictures_that_were_not_coded_do_not_make_a_video_bad(tmp_path):
    path = str(CASES['not_coded'](tmp_path))
    assert check_video(path) is None and check_video(path, every_frame=True) is None
    packed = pack_video(PackJob(0, path, PackSettings(every=1)))
    assert not packed.problem and packed.total_frames == len(packed.jpegs) == 25


def test_bad_videos(tmp_path):
    text, half, empty = (tmp_path / f'{name}.mp4' for name in ('text', 'half', 'empty'))
    text.write_text('not a video')
    half.write_bytes(make_video(tmp_path / 'a.mp4').read_bytes()[:2000])
    empty.write_bytes(b'')
    sound = make_audio(tmp_path / 'sound.mp4')
    expected = {text: 'not a video', half: 'not a video', empty: '0 bytes', sound: 'no video',
                tmp_path / 'gone.mp4': 'does not exist'}
    for path, reason in expected.items():
        for function in (check_video, partial(check_video, every_frame=True)):
            assert reason in (function(str(path)) or '')


def test_damage_between_the_three_frames_needs_every_frame(tmp_path):
    # Keyframes before and after: the first, middle and last frame of 0 .. 59 don't touch it.
    path = make_video(tmp_path / 'a.mp4', 60, gop=6, bframes=0)
    from av import open as av_open
    with av_open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][20]
        begin, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[begin:begin + size] = b'\xff' * size
    path.write_bytes(data)
    assert check_video(str(path)) is None
    assert check_video(str(path), every_frame=True) == 'only 20 of its 60 frames decode'


def test_damaged_middle_is_found_at_once(tmp_path):
    path = damage(make_video(tmp_path / 'a.mp4', 41, gop=41, bframes=0))
    assert 'decode' in (check_video(str(path)) or '')


def test_a_fault_of_the_reader_is_a_reason_too(tmp_path, monkeypatch):
    def fails(path):
        raise ZeroDivisionError('oops')

    monkeypatch.setattr(check, 'open_video', fails)
    assert check_video('x.mp4') == 'reading it fails (ZeroDivisionError: oops)'


def test_record_knows_unchanged_files(tmp_path):
    good, bad = make_video(tmp_path / 'good.mp4', 2), tmp_path / 'bad é\udcff.mp4'
    bad.write_text('x')
    log = tmp_path / 'log.jsonl'
    record = CheckRecord(str(log))
    for path, reason in ((good, None), (bad, 'is bad')):
        assert not record.is_current(str(path), every_frame=False)
        record.add(str(path), file_state(str(path)), False, reason)
    record.close()
    with log.open('ab') as file:
        file.write(b'\xff\n{"path": [], "size": 1, "mtime_ns": 1, "whole": true, "reason": null}\n'
                   b'{"path": "half a li')  # the program was killed
    record = CheckRecord(str(log))
    assert record.is_current(str(good), every_frame=False) and record.reason(str(good)) is None
    assert record.is_current(str(bad), every_frame=False) and record.reason(str(bad)) == 'is bad'
    assert not record.is_current(str(good), every_frame=True), 'only three frames were looked at'
    assert record.is_current(str(bad), every_frame=True)
    os.utime(good, ns=(1, 1))
    assert not record.is_current(str(good), every_frame=False)
    record.add(str(good), file_state(str(good)), True, None)
    record.close()
    record = CheckRecord(str(log))
    assert record.is_current(str(good), every_frame=True)
    assert record.is_current(str(good), every_frame=False)


def test_training_skips_what_the_list_names(tmp_path):
    bad, gone = tmp_path / 'bad.mp4', tmp_path / 'gone.mp4'
    bad.write_text('x')
    path = str(tmp_path / 'bad_videos.jsonl')
    write_bad_videos(path, {'old.mp4': 'was bad'}, 'list.txt')
    write_bad_videos(path, {str(bad): 'not a video', str(gone): 'is gone'}, 'list.txt')
    entries = [json.loads(line) for line in open(path)]
    assert [entry['path'] for entry in entries] == [str(bad), str(gone)]
    videos = BadVideos('another name of the list', .5)
    videos.share(path, lambda: {str(bad), str(gone), str(tmp_path / 'good.mp4')})
    assert str(bad) in videos and str(gone) in videos and len(videos) == 2
    write_bad_videos(path, {}, 'list.txt')
    assert open(path).read() == '' and not list(tmp_path.glob('*.part'))


def test_summary_puts_reasons_together():
    reasons = ['empty (0 bytes)', 'only 3 of 5', 'only 4 of 77', 'only 3 of 5', 'empty (0 bytes)']
    assert summarize(reasons).split('\n') == ['       3  only N of N', '       2  empty (0 bytes)']
    assert summarize([]) == ''


@pytest.fixture(scope='module')
def damaged_recording(tmp_path_factory) -> str:
    """Ten seconds, of which the fourth and the eighth cannot be decoded."""
    path = make_video(tmp_path_factory.mktemp('damaged') / 'a.mp4', 250, gop=25, bframes=0)
    from av import open as av_open
    with av_open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in packets[75:100] + packets[180:182]:
        data[position:position + size] = b'\xff' * size
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize(('seconds', 'every_frame', 'expected'), [
    (1, False, [(3, 4), (7, 8)]), (1, True, [(3, 4), (7, 8)]),
    (2.5, False, [(2.5, 5), (5, 7.5), (7.5, float('inf'))]),
    (5, True, None), (60, False, None)])
def test_damage_in_the_middle(damaged_recording, seconds, every_frame, expected):
    result = check_video(damaged_recording, every_frame, seconds)
    if expected is None:  # every segment, or one for the whole video
        assert result is None or isinstance(result, str)
    else:
        assert list(result) == expected and all('decode' in text for text in result.values())


def test_damage_between_keyframes_is_found_without_decoding_every_frame(damaged_recording):
    """The first, middle and last frame of 0 to 5 s do not depend on the damage."""
    segments = [(0, 5), (5, 7)]
    assert list(check._damaged_segments(damaged_recording, segments, False)) == segments[:1]


def test_damaged_frames_are_not_packed(damaged_recording):
    settings = PackSettings(every_seconds=.5)
    packed = pack_video(PackJob(0, damaged_recording, settings))
    wanted = settings.choose(250, np.arange(250) / 25)
    assert packed.frames == tuple(i for i in wanted if i not in (75, 87, 187))
    assert not packed.problem and len(packed.times) == len(packed.jpegs) == 17
    assert 'decode' in pack_video(PackJob(0, damaged_recording, PackSettings(every=20))).problem


def test_damaged_segments_are_excluded_remembered_and_reported_once(damaged_recording, tmp_path,
                                                                    capsys):
    damage = check_video(damaged_recording, True, 1)
    damage |= {(8, 9): 'x', (9, float('inf')): 'y'}
    record = CheckRecord(str(tmp_path / 'checked.jsonl'))
    record.add(damaged_recording, file_state(damaged_recording), True, damage, 1)
    record.close()
    record = CheckRecord(str(tmp_path / 'checked.jsonl'))
    assert record.reason(damaged_recording) == damage
    assert record.is_current(damaged_recording, False, 1)
    assert not record.is_current(damaged_recording, False, 2)
    record.close()
    ledger = str(tmp_path / 'bad.jsonl')
    write_bad_videos(ledger, {damaged_recording: damage}, 'videos')
    dataset = VideoPairDataset(data_prefix=dict(video=os.path.dirname(damaged_recording)),
                               pipeline=[], segment_seconds=1, exclude_file=ledger)
    assert [dataset[i]['segment'][0] for i in range(len(dataset))] == [0, 1, 2, 4, 5, 6]
    assert report_videos(3, {damaged_recording: damage}, ledger, {}, False) == 3
    out = capsys.readouterr().out
    assert '0 of 3 videos are bad' in out and out.count('a.mp4') == 1
    assert 'a.mp4 is damaged from 3 s to 4 s, 7 s to the end: ' in out
