"""Long videos as many samples: what is cut, what a segment reads, what damage costs."""
import json
import math
from collections import Counter
from itertools import pairwise

import av
import numpy as np
import pytest

from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.commands.preflight import Findings
from vicmae_mm.datasets import SampleIndex
from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.container import decode_all, upright
from vicmae_mm.datasets.segments import cut_segments, read_duration
from vicmae_mm.datasets.transforms import VideoInit

from .helpers import PACK, READ, build, epoch_of, ledger_lines, loader

FPS = 10


@pytest.fixture
def log():
    """A function that returns the warnings since its last call."""
    findings = Findings()

    def take() -> str:
        text = '\n'.join(findings.warnings)
        findings.warnings.clear()
        return text

    with findings.collect_warnings():
        yield take


@pytest.fixture(scope='module')
def recordings(tmp_path_factory):
    """Three recordings of 6.4, 12 and 1.2 s with a keyframe every half second."""
    folder = tmp_path_factory.mktemp('recordings')
    for name, frames in (('a.mp4', 64), ('b.mkv', 120), ('c.mp4', 12)):
        make_video(folder / name, frames, fps=FPS, gop=5)
    return folder


def config(folder, index=None, **kwargs):
    init = dict(type='vicmae_mm.VideoInit', index_dir=index)
    return dict(dict(type='vicmae_mm.VideoPairDataset', data_prefix=dict(video=str(folder)),
                     pipeline=[init, *READ[1:], *PACK], decode_timeout=None), **kwargs)


def frames_of(sample) -> list[int]:
    return [read_frame_number(image) for image in sample['imgs']]


@pytest.mark.parametrize(('duration', 'stride', 'count', 'length'), [
    (10.01, 10, 1, None), (14, 10, 1, None), (3, 10, 1, None), (0, 10, 1, None),
    (16, 10, 2, 10), (24, 10, 2, 14), (3600, 10, 360, 10), (3600.2, 10, 360, 10.2),
    (30, 5, 5, 10), (100, 30, 4, 10),
    (123.4567 * 3, 10, 37, 10.3701)])
def test_number_and_length(duration, stride, count, length):
    segments = cut_segments(duration, 10, stride)
    if count == 1:
        assert segments == []
        return
    assert len(segments) == count
    begins = np.array([begin for begin, _ in segments])
    assert begins[0] == 0 and begins[-1] == pytest.approx(duration - length, abs=.001)
    np.testing.assert_allclose(np.diff(begins), (duration - length) / (count - 1), atol=.0011)
    assert segments[-1][1] == math.inf
    assert all(end - begin == pytest.approx(length, abs=.0011) for begin, end in segments[:-1])
    if stride <= 10:  # nothing is left out
        assert all(begin <= end for (_, end), (begin, _) in pairwise(segments))


@pytest.mark.parametrize(('settings', 'words'), [
    (dict(segment_stride=5), 'no meaning without segment_seconds'),
    (dict(max_samples_per_video=5), 'no meaning without segment_seconds'),
    (dict(segment_seconds=0), '0.1 or more'), (dict(segment_seconds='10'), '0.1 or more'),
    (dict(segment_seconds=math.nan), '0.1 or more'), (dict(segment_seconds=True), '0.1 or more'),
    (dict(segment_seconds=1, segment_stride=-1), 'segment_stride=-1'),
    (dict(segment_seconds=1, max_samples_per_video=0), 'at least 1'),
    (dict(segment_seconds=1, max_samples_per_video=2.5), 'at least 1')])
def test_wrong_settings(recordings, settings, words):
    with pytest.raises(ValueError, match=words):
        build(config(recordings, **settings))


def test_pipelines_that_ignore_segments_are_refused(recordings):
    with pytest.raises(ValueError, match=r'needs vicmae_mm\.VideoInit'):
        build(config(recordings, segment_seconds=1, pipeline=[dict(type='mmaction.DecordInit')]))


def test_without_an_index_there_is_a_warning(recordings, tmp_path, log):
    build(config(recordings, segment_seconds=1))
    assert 'index_dir' in log()
    build(config(recordings, segment_seconds=1, index=str(tmp_path)))
    assert 'index_dir' not in log()


def test_samples_are_drawn_within_their_segment(recordings, tmp_path):
    dataset = build(config(recordings, str(tmp_path), segment_seconds=2, pipeline=READ))
    records = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert Counter(record['filename'][-5:] for record in records) == {
        'a.mp4': 3, 'b.mkv': 6, 'c.mp4': 1}
    seen: dict[int, set] = {i: set() for i in range(len(dataset))}
    for epoch in range(15):
        for i in seen:
            seen[i].update(frames_of(dataset[SampleIndex(i, 0, epoch)]))
    a = [range(24), range(20, 44), range(40, 64)]  # 2.4 s, so that nothing is left over
    for i, frames in enumerate(a):
        assert min(seen[i]) in frames and max(seen[i]) in frames and len(seen[i]) > 8
    b = [seen[i] for i in range(3, 9)]
    assert all(frames <= {*range(20 * k, 20 * k + 20)} for k, frames in enumerate(b))
    assert 'segment' not in records[9] and max(seen[9]) == 11


def test_a_few_samples_per_video_use_all_of_it_over_time(recordings, tmp_path):
    settings = config(recordings, str(tmp_path), segment_seconds=1, max_samples_per_video=2)
    dataset = build(settings)
    assert len(dataset) == 5 and dataset.bad_videos.total(5) == 6 + 12
    records = [[dataset.get_data_info(SampleIndex(i, 7, epoch)) for epoch in range(60)]
               for i in range(5)]
    assert [len({record.get('segment') for record in each}) for each in records] == [3, 3, 6, 6, 1]
    assert max(r['segment'][0] for r in records[2]) < min(r['segment'][0] for r in records[3])
    again = [dataset.get_data_info(SampleIndex(1, 7, epoch)) for epoch in range(60)]
    assert again == records[1]
    assert dataset.get_data_info(1) == dataset.get_data_info(1)  # without a stream: the middle


def test_samples_do_not_depend_on_workers_and_resume_in_an_epoch(recordings, tmp_path):
    settings = config(recordings, str(tmp_path), segment_seconds=1, max_samples_per_video=4)
    alone, workers = loader(settings), loader(settings, 2)
    first = epoch_of(alone, 0)
    assert epoch_of(workers, 0) == first
    alone.sampler.start_at(4)
    assert epoch_of(workers, 1)[4:] == epoch_of(alone, 1) != first[4:]


@pytest.mark.parametrize('index', [False, True])
@pytest.mark.parametrize('name', ['v.mp4', 'v.mkv'])
def test_frames_are_those_of_a_sequential_decode(name, index, tmp_path):
    """Variable frame rate, B-frames, and a first time stamp that is not 0."""
    rng = np.random.default_rng(0)
    stamps = (37 + np.cumsum(rng.integers(1, 9, 150))).tolist()
    path = make_video(tmp_path / name, 150, fps=100, pts=stamps, gop=15, bframes=3)
    frames = list(decode_all(str(path)))
    with av.open(str(path)) as container:
        tick = container.streams.video[0].time_base
    times = [float((frame.pts - frames[0].pts) * tick) for frame in frames]
    dataset = build(config(tmp_path, str(tmp_path / 'index') if index else None, pipeline=[]),
                    segment_seconds=.8)
    init = VideoInit(index_dir=str(tmp_path / 'index') if index else None)
    covered = set()
    for info in map(dataset.get_data_info, range(len(dataset))):
        begin, end = info['segment']
        expected = [i for i, time in enumerate(times) if begin <= time < end]
        results = init(info)
        start, total = results['start_index'], results['total_frames']
        assert [*range(start, start + total)] == expected
        covered.update(expected)
        chosen = expected[::7]
        with results['video_reader'] as reader:
            for i, image in zip(chosen, reader.get_frames(chosen), strict=True):
                np.testing.assert_array_equal(image, upright(frames[i]))
    assert covered == {*range(150)}


def test_mmaction_samples_within_a_segment(recordings):
    dataset = build(config(recordings, segment_seconds=2, pipeline=[
        READ[0], dict(type='mmaction.SampleFrames', clip_len=4, frame_interval=2), READ[2]]))
    frames = frames_of(dataset[SampleIndex(5, 0, 0)])
    assert {*frames} <= {*range(40, 60)} and np.ptp(frames) == 6


def test_durations_are_kept_and_read_again_when_a_file_changes(recordings, tmp_path, monkeypatch):
    (tmp_path / 'v').mkdir()
    path = make_video(tmp_path / 'v' / 'a.mp4', 60, fps=FPS)
    settings = config(tmp_path / 'v', str(tmp_path / 'index'), segment_seconds=1)
    assert len(build(settings)) == 6
    calls = []
    monkeypatch.setattr('vicmae_mm.datasets.segments.read_duration',
                        lambda path: calls.append(path) or read_duration(path))
    assert len(build(settings)) == 6 and not calls
    make_video(path, 90, fps=FPS)
    assert len(build(settings)) == 9 and len(calls) == 1
    for content in ('[1, 2]', '{"a": 1', json.dumps({str(path): 'x'})):
        (tmp_path / 'index' / 'durations.json').write_text(content)
        assert len(build(settings)) == 9


@pytest.mark.parametrize(('name', 'muxer', 'seconds'), [
    ('live.mkv', dict(live='1'), 5.9), ('raw.mpg', {}, 0),
    ('fragments.mp4', dict(movflags='frag_keyframe+empty_moov'), 6), ('a.ts', {}, 6)])
def test_files_without_a_duration_in_the_header(tmp_path, name, muxer, seconds):
    path = make_video(tmp_path / name, 60, fps=FPS, gop=10, bframes=0, muxer_options=muxer,
                      container_format='h264' if name == 'raw.mpg' else None)
    assert read_duration(str(path)) == pytest.approx(seconds, abs=.15)
    assert len(build(config(tmp_path, segment_seconds=1))) == max(round(seconds), 1)


def test_a_damaged_part_costs_its_segment_and_one_warning(recordings, tmp_path, log):
    folder = tmp_path / 'v'
    folder.mkdir()
    data = bytearray((recordings / 'b.mkv').read_bytes())
    data[len(data) // 2:len(data) * 11 // 16] = bytes(len(data) * 11 // 16 - len(data) // 2)
    (folder / 'b.mkv').write_bytes(data)
    (folder / 'a.mp4').write_bytes((recordings / 'a.mp4').read_bytes())
    settings = config(folder, segment_seconds=1, max_bad_share=.5, pipeline=READ)
    dataset = build(settings)
    ledger = tmp_path / 'bad_videos.jsonl'
    dataset.share_bad_videos(str(ledger))
    for epoch in range(2):
        for i in range(len(dataset)):
            dataset[SampleIndex(i, 0, epoch)]
    entries = ledger_lines(ledger)
    assert 2 <= len(entries) == len(dataset.bad_videos) <= 9
    assert {entry['path'] for entry in entries} == {str(folder / 'b.mkv')}
    assert all(entry['segment'][0] >= 4 for entry in entries)
    assert log().count('Skipped a bad segment') == 1
    again = build(settings)
    again.share_bad_videos(str(ledger))
    assert len(again.bad_videos) == len(entries)
    excluding = build(settings, exclude_file=str(ledger))
    assert len(excluding) == len(dataset) - len(entries)
    only = dict(data_prefix=dict(video=''), ann_file=write(tmp_path, folder / 'b.mkv'))
    with pytest.raises(ValueError, match='names all 1 videos'):
        build(settings, exclude_file=str(ledger), **dict(only, segment_seconds=None))
    ledger.write_text(json.dumps(dict(entries[0], segment=[0, None])) + '\n')
    with pytest.raises(ValueError, match='names all 1 videos'):
        build(settings, exclude_file=str(ledger), **only)


def write(folder, *paths) -> str:
    (folder / 'list.txt').write_text(''.join(f'{path}\n' for path in paths))
    return str(folder / 'list.txt')


def test_a_file_shorter_than_its_header_says(tmp_path, log):
    path = make_video(tmp_path / 'a.mp4', 100, fps=FPS, gop=5,
                      muxer_options=dict(movflags='faststart'))
    make_video(tmp_path / 'b.mp4', 100, fps=FPS, gop=5)
    data = path.read_bytes()
    path.write_bytes(data[:len(data) * 3 // 4])
    dataset = build(config(tmp_path, segment_seconds=1, pipeline=READ, max_bad_share=.5))
    assert len(dataset) == 20
    for i in range(20):
        dataset[SampleIndex(i, 0, 0)]
    assert 1 <= len(dataset.bad_videos) <= 4
    output = log()
    assert output.count('Skipped a bad segment') == 1 and 'has no frame there' in output


def test_a_file_that_vanishes_counts_as_all_its_segments(recordings, tmp_path, log):
    folder = tmp_path / 'v'
    folder.mkdir()
    for name in ('a.mp4', 'b.mkv'):
        (folder / name).write_bytes((recordings / name).read_bytes())
    dataset = build(config(folder, segment_seconds=1, pipeline=READ, max_bad_share=.4))
    (folder / 'a.mp4').unlink()
    ledger = tmp_path / 'bad_videos.jsonl'
    dataset.share_bad_videos(str(ledger))
    for i in range(len(dataset)):
        dataset[SampleIndex(i, 0, 0)]
    assert len(dataset.bad_videos) == 6
    entry, = ledger_lines(ledger)
    assert 'segment' not in entry and log().count('Skipped a bad video') == 1


def test_a_timeout_counts_for_the_segment(recordings, tmp_path):
    import time

    def hang(results):
        if results['start_index'] == 40:
            time.sleep(60)
        return results

    dataset = build(config(recordings, segment_seconds=2, pipeline=[READ[0], hang, *READ[1:]],
                           decode_timeout=.5, max_bad_share=.5))
    dataset[SampleIndex(5, 0, 0)]
    path, segment = next(iter(dataset.bad_videos._reasons))
    assert path.endswith('b.mkv') and segment == (4, 6) and len(dataset.bad_videos) == 1


def test_test_mode_raises(tmp_path):
    path = make_video(tmp_path / 'a.mp4', 40, fps=FPS)
    dataset = build(config(tmp_path, segment_seconds=1, pipeline=READ, test_mode=True))
    assert {*frames_of(dataset[1])} <= {*range(10, 20)}
    path.unlink()
    with pytest.raises(VideoError, match='does not exist'):
        dataset[1]
