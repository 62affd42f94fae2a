"""What PyAVReader decodes, counts, refuses and cleans up."""
import logging
import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.helpers.video_cases import CASES
from tests.helpers.videos import join, make_video, read_frame_number
from vicmae_mm.datasets.readers import (
    IndexStore,
    VideoError,
    VideoReader,
    messages,
    open_video,
    pyav_reader,
)
from vicmae_mm.datasets.readers.container import decode_all, upright
from vicmae_mm.datasets.readers.pyav_reader import PyAVReader


@pytest.fixture(params=['scanned', 'with a kept index'])
def opened(request, tmp_path) -> Callable[[str], VideoReader]:
    """Opens a video, for the first time or again."""
    if request.param == 'scanned':
        return open_video
    store = IndexStore(str(tmp_path / 'indexes'))

    def open_again(path: str) -> VideoReader:
        open_video(path, store=store).close()
        return open_video(path, store=store)

    return open_again


def count_decoded(reader: PyAVReader, wanted: list[int]) -> tuple[list[int], int, int]:
    """(numbers of the frames got, packets given to the decoder, frames that came out)."""
    given, came_out = [], []
    read, decode = reader.read_packets, reader._decode_span
    reader.read_packets = lambda *span: (given.append(1) or packet for packet in read(*span))
    reader._decode_span = lambda *span: (came_out.append(1) or frame for frame in decode(*span))
    frames = reader.get_frames(wanted)
    return [read_frame_number(frame) for frame in frames], len(given), len(came_out)


def test_only_what_is_needed_is_decoded(tmp_path):
    path = make_video(tmp_path / 'a.mp4', 96, gop=24, bframes=3, options={
        'x264-params': 'b-adapt=0:b-pyramid=none'})
    with PyAVReader(str(path)) as reader:
        assert count_decoded(reader, [0]) == ([0], 1, 1)
    with PyAVReader(str(path)) as reader:  # two groups of pictures far apart, none in between
        numbers, given, came_out = count_decoded(reader, [26, 74])
        assert numbers == [26, 74]
        assert given <= 8
    with PyAVReader(str(path)) as reader:  # the end of a group: no B-frame but those asked for
        numbers, given, came_out = count_decoded(reader, [45, 46])
        assert numbers == [45, 46]
        assert given <= 24
        assert came_out <= 24 // 4 + 1 + 2


def test_a_frame_asked_for_twice_is_decoded_once_and_not_shared(tmp_path):
    path = make_video(tmp_path / 'a.mp4', 20)
    with PyAVReader(str(path)) as reader:
        frames = reader.get_frames([5, 2, 5])
        assert [read_frame_number(frame) for frame in frames] == [5, 2, 5]
        frames[0][:] = 0
        assert read_frame_number(frames[2]) == 5
        assert all(frame.dtype == np.uint8 and frame.flags.writeable for frame in frames)
    with PyAVReader(str(path)) as reader:
        assert count_decoded(reader, [3] * 50)[1:] == count_decoded(reader, [3])[1:]


def test_large_file_is_read_again_instead_of_held(tmp_path, monkeypatch):
    path = make_video(tmp_path / 'a.mp4', 40)
    monkeypatch.setattr(pyav_reader, 'HELD_BYTES', 0)
    with PyAVReader(str(path)) as reader:
        assert reader._packets is None
        frames = reader.get_frames([39, 14, 2])
    assert [read_frame_number(frame) for frame in frames] == [39, 14, 2]


def test_frame_rate(tmp_path):
    with open_video(str(make_video(tmp_path / 'a.mp4', 5, fps=30))) as reader:
        assert reader.fps == pytest.approx(30)


@pytest.mark.parametrize('index', [-1, 20])
def test_index_out_of_range(tmp_path, index):
    with open_video(str(make_video(tmp_path / 'a.mp4', 20))) as reader:
        with pytest.raises(IndexError, match=f'frame {index} .*0 to 19'):
            reader.get_frames([0, index])


@pytest.mark.parametrize('kept', [1, 2, 3, 17, 39])
def test_cut_off_file_has_the_frames_that_are_left(tmp_path, opened, kept):
    """The header still promises 40 frames; all complete packets are decoded."""
    path = make_video(tmp_path / 'a.mp4', 40, muxer_options={'movflags': 'faststart'})
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 40
        packets = [packet for packet in container.demux(video=0) if packet.size]
        end = packets[kept].pos + packets[kept].size // 2
    path.write_bytes(path.read_bytes()[:end])
    with opened(str(path)) as reader:
        assert reader.num_frames == kept
        numbers = [read_frame_number(f) for f in reader.get_frames(range(kept))]
    assert numbers == sorted(set(numbers)) and len(numbers) == kept  # all distinct


def damaged_video(path: Path) -> Path:
    """Packets from the 21st on are noise, which the decoder refuses."""
    make_video(path, 40, muxer_options={'movflags': 'faststart'})
    with av.open(str(path)) as container:
        begin = [packet.pos for packet in container.demux(video=0) if packet.size][20]
    data = path.read_bytes()
    path.write_bytes(data[:begin] + b'\xff' * (len(data) - begin))
    return path


def test_damaged_file_gives_its_undamaged_part_and_says_how_much_that_is(tmp_path, opened):
    path = damaged_video(tmp_path / 'a.mp4')
    with opened(str(path)) as reader:
        assert [read_frame_number(f) for f in reader.get_frames([3, 15])] == [3, 15]
        with pytest.raises(VideoError) as caught:
            reader.get_frames([3, 30])
    assert caught.value.path == str(path)
    assert caught.value.reason.startswith('frame 30 was requested, but only ')
    assert 15 <= int(caught.value.reason.split('only ')[1].split()[0]) <= 20


@pytest.mark.parametrize(('name', 'content'), [
    ('a.mp4', 'zeros'), ('a.mp4', 'noise'), ('a.mkv', 'zeros'), ('frag.mp4', 'noise'),
    ('vp9.webm', 'zeros')])
def test_damage_far_from_the_start_costs_its_group_alone(tmp_path, opened, monkeypatch, name,
                                                         content):
    """Without a decode from the start; a frame that depends on damage is never returned."""
    codec = 'libvpx-vp9' if 'vp9' in name else 'libx264'
    muxer = dict(movflags='frag_keyframe+empty_moov') if 'frag' in name else {}
    path = make_video(tmp_path / name, 80, gop=10, codec=codec, muxer_options=muxer)
    truth = [upright(frame) for frame in decode_all(str(path))]
    with PyAVReader(str(path)) as reader:
        first, last = reader.index.start_of(reader.index.shown[42]), reader.index.shown[52]
    data, noise = bytearray(path.read_bytes()), np.random.default_rng(0)
    with av.open(str(path)) as container:
        for packet in [p for p in container.demux(video=0) if p.size][first + 3:last]:
            begin = data.index(bytes(packet))
            data[begin:begin + packet.size] = bytes(packet.size) if content == 'zeros' else (
                b'\x11' + noise.bytes(packet.size - 1))
    path.write_bytes(data)
    monkeypatch.setattr(pyav_reader, 'MOST_CONCEALED', 20)
    monkeypatch.setattr(PyAVReader, '_decode_counting', lambda *args: pytest.fail('counts'))
    lost = []
    for i in range(36, 64):
        with opened(str(path)) as reader:
            assert reader.num_frames == 80
            try:
                assert np.array_equal(reader.get_frames([i])[0], truth[i])
            except VideoError as error:
                assert error.reason.startswith(f'frames {i} to {i} do not all decode (')
                lost.append(i)
    assert {*range(44, 53)} <= {*lost} <= {*range(40, 60)}


@pytest.mark.parametrize('seed', [2, 3, 6, 9])
def test_flipped_bits_do_not_change_which_frame_is_which(tmp_path, opened, seed):
    """A decoder conceals damage; the result is at least that of a decode from the start."""
    path = make_video(tmp_path / 'a.mp4', 40, muxer_options={'movflags': 'faststart'})
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    rng, data = np.random.default_rng(seed), bytearray(path.read_bytes())
    begin, size = packets[rng.integers(1, 39)]
    for _ in range(3):
        data[begin + rng.integers(10, size)] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1  # concealment depends on it
        truth = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
    for i, expected in enumerate(truth):
        with opened(str(path)) as reader:
            assert np.array_equal(reader.get_frames([i])[0], expected), i


@pytest.mark.parametrize(('codec', 'second'), [
    ('libx264', 'cabac=0'), ('libx264', 'ref=6:weightp=2'), ('libx265', 'ctu=16')])
def test_videos_joined_under_the_header_of_the_first(tmp_path, codec, second):
    """Players show nothing or garbage of the second; the numbers are those of a decode in order."""
    parts = [make_video(tmp_path / f'{i}.mp4', 20, codec=codec, gop=8, options={
        codec.replace('lib', '') + '-params': f'log-level=error:{params}'})
        for i, params in enumerate(('ref=1', second))]
    path = str(join(parts, tmp_path / 'joined.mp4'))
    truth = [upright(frame) for frame in decode_all(path)]
    assert len(truth) < 40
    for i in range(len(truth)):
        with open_video(path) as reader:
            assert reader.num_frames == len(truth)
            assert np.array_equal(reader.get_frames([i])[0], truth[i])


def test_decoder_that_contradicts_the_index_is_recounted_once(tmp_path, monkeypatch):
    path = make_video(tmp_path / 'a.mp4', 30)
    monkeypatch.setattr(messages, '_said', set())
    calls = []
    counting = PyAVReader._decode_counting
    monkeypatch.setattr(PyAVReader, '_decode_counting',
                        lambda self, wanted: calls.append(wanted) or counting(self, wanted))
    with PyAVReader(str(path)) as reader:
        shown = reader.index.shown
        reader.index.pts[shown[7]] += 1  # a time stamp that no frame will carry
        assert read_frame_number(reader.get_frames([3])[0]) == 3
        assert not calls
        assert read_frame_number(reader.get_frames([7])[0]) == 7
        assert calls == [[7]]


@pytest.mark.parametrize('name', ['mpeg4_avi', 'cut_inside_gop'])
def test_counting_is_reported_once_and_the_count_is_cached(tmp_path, monkeypatch, caplog, name):
    monkeypatch.setattr(messages, '_said', set())
    said = []
    monkeypatch.setattr(messages, 'print_log', lambda text, **kw: said.append((text, kw['level'])))
    pyav_reader.count_frames.cache_clear()
    path = CASES[name](tmp_path)
    for _ in range(3):
        open_video(str(path)).close()
    assert len(said) == 1
    assert str(path) in said[0][0] and 'counted from the start' in said[0][0]
    assert said[0][1] == logging.WARNING
    assert pyav_reader.count_frames.cache_info().misses == 1


def test_closing_twice_and_on_errors_leaves_no_file_open(tmp_path):
    if not os.path.isdir('/proc/self/fd'):
        pytest.skip('counts open files in /proc')
    good = str(make_video(tmp_path / 'a.mp4', 12))
    damaged = str(damaged_video(tmp_path / 'd.mp4'))
    bad = [tmp_path / 'zeros.mp4', tmp_path / 'text.mp4', tmp_path / 'cut.mp4']
    bad[0].write_bytes(bytes(5000))
    bad[1].write_text('not a video\n' * 100)
    bad[2].write_bytes(Path(damaged).read_bytes()[:1500])
    before = len(os.listdir('/proc/self/fd'))
    held = []  # exceptions keep their frames, and with them all local objects, alive
    for _ in range(30):
        for path in bad:
            with pytest.raises(VideoError) as caught:
                open_video(str(path))
            held.append(caught)
        with open_video(damaged) as reader, pytest.raises(VideoError) as caught:
            reader.get_frames([35])
        held.append(caught)
        reader = open_video(good)
        reader.get_frames([3])
        reader.close()
        reader.close()
    assert len(os.listdir('/proc/self/fd')) == before
