"""Kept indexes: used while they are valid, and never in the way."""
import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from tests.helpers import videos
from tests.helpers.video_cases import CASES
from tests.helpers.videos import make_video, read_frame_number
from vicmae_mm.datasets.readers import IndexStore, VideoError, messages, open_video, pyav_reader
from vicmae_mm.datasets.readers.kept_index import index_file, index_store, indexed_reader
from vicmae_mm.datasets.readers.kept_index.indexed_reader import IndexedReader

from .kept import WANTED, is_indexed, kept_file, numbers, rewrite


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


def test_a_changed_video_is_scanned_again(video, store, tmp_path):
    assert numbers(video, store) == WANTED
    other = make_video(tmp_path / 'b.mp4', 50, gop=7)
    shutil.copyfile(other, video)
    assert not is_indexed(video, store)
    assert numbers(video, store, [49]) == [49]
    time = os.stat(video).st_mtime_ns
    shutil.copyfile(make_video(tmp_path / 'd.mp4', 90), video)
    os.utime(video, ns=(time, time))  # same time
    assert not is_indexed(video, store)
    size = os.path.getsize(video)
    with open(make_video(tmp_path / 'c.mp4', 20), 'rb') as shorter, open(video, 'wb') as file:
        file.write(shorter.read().ljust(size, b'\0'))  # same size
    os.utime(video, ns=(1, 1))
    with open_video(video, store=store) as reader:
        assert reader.num_frames == 20 and not isinstance(reader, IndexedReader)


def test_an_index_of_an_older_version_is_made_again(video, store, monkeypatch):
    """It may name packets as keyframes that are none."""
    monkeypatch.setattr(index_store, 'FORMAT', index_file.FORMAT - 1)
    assert numbers(video, store) == WANTED and is_indexed(video, store)
    monkeypatch.undo()
    assert not is_indexed(video, store)
    assert is_indexed(video, store)


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


def test_an_index_that_the_decoder_contradicts_is_dropped(video, store):
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
    assert is_indexed(video, store)  # the entry of the old file does not count for the new one


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


def test_a_folder_that_cannot_be_written_to_is_reported_once(video, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(messages, '_said', set())
    monkeypatch.setattr(messages, 'print_log', lambda text, **kwargs: said.append(text))
    (tmp_path / 'file').write_text('')
    store = IndexStore(str(tmp_path / 'file' / 'indexes'))  # also for root, who may write anywhere
    for path in (video, str(make_video(tmp_path / 'b.mp4', 40)), video):
        assert numbers(path, store) == WANTED
    assert len(said) == 1 and 'cannot be saved' in said[0] and store.folder in said[0]


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


def test_packets_only_the_container_can_read_are_not_located_twice(store, tmp_path, monkeypatch):
    # Rotating these pictures by 180 degrees changes nothing: only the file says so.
    monkeypatch.setattr(videos, 'draw_frame', lambda number, size: np.full(
        (*size[::-1], 3), 8 * number, np.uint8))
    path = str(make_video(tmp_path / 'rotated.mp4', 8, rotation=180))
    open_video(path, store=store).close()
    monkeypatch.setattr(indexed_reader, 'find_packet_locations',
                        lambda reader: pytest.fail('located again'))
    assert not is_indexed(path, store)


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
