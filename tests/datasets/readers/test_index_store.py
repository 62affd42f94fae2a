"""Kept indexes: used while they are right, and never in the way."""
import json
import multiprocessing
import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from safetensors.numpy import load, save

from tests.helpers import videos
from tests.helpers.video_cases import CASES
from tests.helpers.videos import draw_frame, make_video, read_frame_number
from vicmae_mm.datasets.readers import (
    IndexStore,
    VideoError,
    indexed_reader,
    kept_index,
    messages,
    open_video,
    pyav_reader,
)
from vicmae_mm.datasets.readers.index_store import video_state
from vicmae_mm.datasets.readers.indexed_reader import IndexedReader
from vicmae_mm.datasets.readers.packet_places import find_places

WANTED = [30, 7, 39]


@pytest.fixture
def video(tmp_path) -> str:
    return str(make_video(tmp_path / 'a.mp4', 40, gop=10))


@pytest.fixture
def store(tmp_path) -> IndexStore:
    return IndexStore(str(tmp_path / 'indexes'))


def numbers(path: str, store: IndexStore, wanted: list[int] = WANTED) -> list[int]:
    with open_video(path, store=store) as reader:
        return [read_frame_number(frame) for frame in reader.get_frames(wanted)]


def is_indexed(path: str, store: IndexStore) -> bool:
    with open_video(path, store=store) as reader:
        return isinstance(reader, IndexedReader)


def kept_file(store: IndexStore) -> Path:
    path, = Path(store.folder).rglob('*.safetensors')
    return path


def rewrite(store: IndexStore, header: dict | None = None, **arrays: np.ndarray) -> None:
    """Change what is kept, and make the checksum fit as somebody would who means harm."""
    path = kept_file(store)
    content = load(path.read_bytes())
    del content['checksum']
    if header is not None:
        old = json.loads(content['header'].tobytes())
        old['places'].update(header.pop('places', {}))
        content['header'] = np.frombuffer(json.dumps(old | header).encode(), np.uint8)
    content |= arrays
    path.write_bytes(save(content | {'checksum': kept_index._checksum(content)}))


def test_the_container_is_opened_once(video, store, monkeypatch):
    assert numbers(video, store) == WANTED
    monkeypatch.setattr(pyav_reader, 'open_container', lambda path: pytest.fail('opened it'))
    assert numbers(video, store) == WANTED


def test_only_what_is_needed_is_read(video, store):
    open_video(video, store=store).close()
    with open_video(video, store=store) as reader:
        read, asked = reader.read_packets, []
        reader.read_packets = lambda wanted: asked.extend(wanted) or read(wanted)
        reader.get_frames([35])
        target = reader.index.shown[35]
        needed = set(range(30, target + 1)) - reader.index.disposable
        assert len(needed) < target - 29 and set(asked) == needed | {target}


def test_packets_are_those_of_the_container(video, store):
    open_video(video, store=store).close()
    with open_video(video) as plain, open_video(video, store=store) as reader:
        for one, other in zip(reader.read_packets(), plain.read_packets(), strict=True):
            assert bytes(one) == bytes(other)
            assert (one.pts, one.is_keyframe) == (other.pts, other.is_keyframe)


def test_what_the_container_says_of_colours_is_kept(store, tmp_path):
    path = str(tmp_path / 'full_range.mp4')
    with av.open(path, 'w') as out:
        stream = out.add_stream('mpeg4', rate=25)  # which does not say it itself
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        context = stream.codec_context
        context.color_range, context.colorspace = ColorRange.JPEG, Colorspace.ITU709
        context.color_primaries = context.color_trc = 1  # BT.709, or none of it is written
        for i in range(12):
            frame = av.VideoFrame.from_ndarray(draw_frame(i), format='rgb24')
            out.mux(stream.encode(frame.reformat(format='yuv420p')))
        out.mux(stream.encode(None))
    with av.open(path) as container:
        truth = next(container.decode(video=0))
        assert truth.color_range == ColorRange.JPEG
    open_video(path, store=store).close()
    with open_video(path, store=store) as reader:
        assert isinstance(reader, IndexedReader)
        assert np.array_equal(reader.get_frames([0])[0], truth.to_ndarray(format='rgb24'))


def test_a_changed_video_is_looked_through_again(video, store, tmp_path):
    assert numbers(video, store) == WANTED
    other = make_video(tmp_path / 'b.mp4', 50, gop=7)
    shutil.copyfile(other, video)
    assert not is_indexed(video, store)
    assert numbers(video, store, [49]) == [49]
    time = os.stat(video).st_mtime_ns
    shutil.copyfile(make_video(tmp_path / 'd.mp4', 90), video)
    os.utime(video, ns=(time, time))  # of the same time
    assert not is_indexed(video, store)
    size = os.path.getsize(video)
    with open(make_video(tmp_path / 'c.mp4', 20), 'rb') as shorter, open(video, 'wb') as file:
        file.write(shorter.read().ljust(size, b'\0'))  # of the same size
    os.utime(video, ns=(1, 1))
    with open_video(video, store=store) as reader:
        assert reader.num_frames == 20 and not isinstance(reader, IndexedReader)


def test_moved_videos(video, store, tmp_path):
    other = str(make_video(tmp_path / 'b.mp4', 12))
    for path in (video, other):
        open_video(path, store=store).close()
    moved = str(tmp_path / 'moved.mp4')
    os.rename(video, moved)
    os.rename(other, video)
    assert numbers(moved, store) == WANTED
    with open_video(video, store=store) as reader:
        assert reader.num_frames == 12
    os.remove(video)
    for gone in (video, 'no\0name.mp4'):
        with pytest.raises(VideoError, match='does not exist'):
            open_video(gone, store=store)


@pytest.mark.parametrize('damage', [
    lambda data: b'', lambda data: data[:len(data) // 2], lambda data: data[:-1],
    lambda data: bytes(len(data)), lambda data: b'\xff' * 20,
    lambda data: np.random.default_rng(0).bytes(len(data)),
    lambda data: b'\x80\x04cos\nsystem\n(S"exit 1"\ntR.',
    lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]])
def test_a_damaged_index_is_made_anew(video, store, damage):
    open_video(video, store=store).close()
    path = kept_file(store)
    good = path.read_bytes()
    path.write_bytes(damage(good))
    assert not is_indexed(video, store)
    assert path.read_bytes() == good
    assert numbers(video, store) == WANTED


def test_any_single_flipped_byte_is_noticed(video, store):
    open_video(video, store=store).close()
    good = kept_file(store).read_bytes()
    for at in np.random.default_rng(0).permutation(len(good))[:200]:
        bad = bytearray(good)
        bad[at] ^= 4
        kept_file(store).write_bytes(bad)
        kept = store.load(video, video_state(video))
        assert kept is None or kept.to_bytes(kept_index_state(good)) == good, at


def kept_index_state(data: bytes) -> str:
    return json.loads(load(data)['header'].tobytes())['of']


FAR = np.full(40, 2**62)
FORGED = [
    dict(position=FAR), dict(position=-FAR), dict(position=np.zeros(40)),
    dict(position=np.zeros(3, np.int64)), dict(size=np.full(40, 2**31 - 1, np.int32)),
    dict(size=np.zeros(40, np.int32)), dict(kind=np.zeros(40, np.uint8)),
    dict(kind=np.full(40, kept_index.HIDDEN, np.uint8)), dict(kind=np.zeros(0, np.uint8)),
    dict(pts=np.zeros((40, 1), np.int64)), dict(header=dict(num_frames=41)),
    dict(header=dict(num_frames='x')), dict(header=dict(places=dict(settings={}))),
    dict(header=dict(places=dict(more=1))), dict(header=dict(places=dict(decoder=3))),
    dict(header=dict(doubt='', num_frames=10**400)),
]


@pytest.mark.parametrize('forged', FORGED)
def test_a_forged_index_is_not_used(video, store, forged):
    open_video(video, store=store).close()
    rewrite(store, **{**forged, 'header': dict(forged['header'])} if 'header' in forged else forged)
    assert store.load(video, video_state(video)) is None
    assert numbers(video, store) == WANTED


@pytest.mark.parametrize(('name', 'value'), [
    ('reorder_depth', 1000), ('reorder_depth', -1), ('width', 2**40), ('width', 1.5),
    ('color_range', True), ('codec_tag', 4)])
def test_forged_settings_are_not_used(video, store, name, value):
    open_video(video, store=store).close()
    settings = json.loads(load(kept_file(store).read_bytes())['header'].tobytes())[
        'places']['settings']
    rewrite(store, dict(places=dict(settings=settings | {name: value})))
    assert store.load(video, video_state(video)) is None


def test_deeply_nested_header(video, store):
    open_video(video, store=store).close()
    content = dict(header=np.frombuffer(b'[' * 10**6, np.uint8))
    kept_file(store).write_bytes(save(content | {'checksum': kept_index._checksum(content)}))
    assert store.load(video, video_state(video)) is None


@pytest.mark.parametrize('decoder', ['rawvideo', 'no such decoder'])
def test_a_decoder_that_is_not_there_or_not_for_videos(video, store, decoder):
    open_video(video, store=store).close()
    rewrite(store, dict(places=dict(decoder=decoder)))
    assert not is_indexed(video, store)
    assert numbers(video, store) == WANTED


def test_an_index_that_the_decoder_contradicts_is_given_up(video, store):
    open_video(video, store=store).close()
    content = load(kept_file(store).read_bytes())
    content['position'][1::2] = content['position'][0]
    content['size'][1::2] = content['size'][0]
    rewrite(store, position=content['position'], size=content['size'])
    assert is_indexed(video, store)
    assert numbers(video, store) == WANTED
    assert not is_indexed(video, store)  # nor tried again
    assert numbers(video, store) == WANTED


def test_a_video_that_is_replaced_while_it_is_open(video, store, tmp_path):
    open_video(video, store=store).close()
    with open_video(video, store=store) as reader:
        os.replace(make_video(tmp_path / 'b.mp4', 40, gop=3), video)
        assert [read_frame_number(frame) for frame in reader.get_frames(WANTED)] == WANTED
    assert not is_indexed(video, store)
    assert is_indexed(video, store)  # what was known of the old file says nothing of this one


def test_a_video_that_is_cut_while_it_is_open(video, store):
    open_video(video, store=store).close()
    with open_video(video, store=store) as reader:
        os.truncate(video, os.path.getsize(video) // 2)
        with pytest.raises(VideoError):
            reader.get_frames(WANTED)


def test_a_video_that_is_gone_while_it_is_open(video, store):
    open_video(video, store=store).close()
    with open_video(video, store=store) as reader:
        os.remove(video)
        with pytest.raises(VideoError, match='cannot be read'):
            reader.get_frames(WANTED)


def test_a_folder_that_cannot_be_written_to_is_said_once(video, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(messages, '_said', set())
    monkeypatch.setattr(messages, 'print_log', lambda text, **kwargs: said.append(text))
    (tmp_path / 'file').write_text('')
    store = IndexStore(str(tmp_path / 'file' / 'indexes'))  # also for root, who may write anywhere
    for path in (video, str(make_video(tmp_path / 'b.mp4', 40)), video):
        assert numbers(path, store) == WANTED
    assert len(said) == 1 and 'cannot be kept' in said[0] and store.folder in said[0]


def test_a_full_disk_leaves_nothing_behind(video, store, monkeypatch):
    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    assert numbers(video, store) == WANTED
    assert [path for path in Path(store.folder).rglob('*') if path.is_file()] == []


def open_often(path: str, folder: str, start, removes: bool) -> None:
    start.wait()
    for _ in range(30):
        if removes:
            shutil.rmtree(folder, ignore_errors=True)
        assert numbers(path, IndexStore(folder)) == WANTED


def test_several_processes_keep_and_lose_the_same_index(video, store):
    context = multiprocessing.get_context('fork')
    start = context.Barrier(3)
    workers = [context.Process(target=open_often, args=(video, store.folder, start, i == 0))
               for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]


@pytest.mark.parametrize('name', ['mpeg4_avi', 'cut_inside_gop', 'mpeg_ts'])
def test_frames_are_counted_once(store, tmp_path, monkeypatch, name):
    path = str(CASES[name](tmp_path))
    with open_video(path, store=store) as first:
        num_frames, frames = first.num_frames, first.get_frames([0, 9])
    monkeypatch.setattr(pyav_reader, 'count_frames', lambda *args: pytest.fail('counted again'))
    said = []
    monkeypatch.setattr(messages, '_said', set())
    monkeypatch.setattr(messages, 'print_log', lambda text, **kwargs: said.append(text))
    with open_video(path, store=store) as reader:
        assert reader.num_frames == num_frames
        assert all(map(np.array_equal, reader.get_frames([0, 9]), frames))
    assert 'counted from the start' in said[0]  # the user of a new run wants to know


def test_what_is_only_in_the_container_is_not_looked_for_twice(store, tmp_path, monkeypatch):
    # Turning these pictures by 180 degrees changes nothing, so that only the file tells.
    monkeypatch.setattr(videos, 'draw_frame', lambda number, size: np.full(
        (*size[::-1], 3), 8 * number, np.uint8))
    path = str(make_video(tmp_path / 'turned.mp4', 8, rotation=180))
    open_video(path, store=store).close()
    monkeypatch.setattr(indexed_reader, 'find_places', lambda reader: pytest.fail('looked again'))
    assert not is_indexed(path, store)


def test_a_hidden_frame_is_not_taken_for_another(video):
    with open_video(video) as reader:
        assert find_places(reader) is not None
        reader.index.pts[1] = reader.index.pts[5]  # as of a packet that an edit list hides
        assert find_places(reader) is None


def test_a_container_that_keeps_packets_in_another_form(video):
    with open_video(video) as reader:
        Path(video).write_bytes(bytes(os.path.getsize(video)))  # as if they were encrypted
        assert find_places(reader) is None


def test_no_file_stays_open(video, store):
    if not os.path.isdir('/proc/self/fd'):
        pytest.skip('counts open files in /proc')
    before = len(os.listdir('/proc/self/fd'))
    for _ in range(3):
        reader = open_video(video, store=store)
        reader.get_frames([3])
        reader.close()
        reader.close()
    assert len(os.listdir('/proc/self/fd')) == before
