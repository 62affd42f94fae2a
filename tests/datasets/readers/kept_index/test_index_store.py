"""Kept indexes: used while they are valid, and never in the way."""
import multiprocessing
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

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


def test_a_folder_that_cannot_be_written_to_is_reported_once(video, tmp_path, said):
    (tmp_path / 'file').write_text('')
    store = IndexStore(str(tmp_path / 'file' / 'indexes'))  # also for root, who may write anywhere
    for path in (video, str(make_video(tmp_path / 'b.mp4', 40)), video):
        assert numbers(path, store) == WANTED
    assert len(said) == 1 and 'cannot be saved' in said[0] and store.folder in said[0]


def test_a_full_disk_leaves_nothing_behind(video, store, monkeypatch):
    def full(*paths):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
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


@pytest.fixture
def small(tmp_path, monkeypatch) -> IndexStore:
    """A folder of one part, in which three indexes have room."""
    monkeypatch.setenv('VICMAE_MM_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr(index_store, 'PARTS', 1)
    monkeypatch.setattr(index_store, 'CHECK_EVERY', 1)
    store = IndexStore.in_cache()
    store.max_bytes = 3 * 4096
    monkeypatch.setattr(store, '_path', lambda video: os.path.join(
        store.folder, 'aa', 'bb', f'{os.path.basename(video)}.{"0" * 16}.safetensors'))
    return store


def num_files(store: IndexStore) -> int:
    return len(list(Path(store.folder).rglob('*.safetensors')))


def copies(video: str, folder: Path, count: int) -> list[str]:
    return [str(shutil.copyfile(video, folder / f'{i}.mp4')) for i in range(count)]


def test_a_full_folder_stays_as_it_is_and_says_so_once(video, small, tmp_path, said):
    """Indexes in use would only replace each other, each written once an epoch and never read."""
    paths = copies(video, tmp_path, 7)
    for _ in range(2):
        for path in paths:
            assert numbers(path, small) == WANTED
    assert num_files(small) == 4, 'one more than fit: a part is measured before it grows'
    assert len(said) == 1 and 'VICMAE_MM_INDEX_GB' in said[0] and small.folder in said[0]
    assert sum(is_indexed(path, small) for path in paths) == 4


def test_indexes_not_used_for_longest_make_room(video, small, tmp_path, said):
    """One that is read is marked as used, though not at every opening."""
    paths = copies(video, tmp_path, 6)
    for path in paths[:4]:
        numbers(path, small)
    for file in Path(small.folder).rglob('*.safetensors'):
        os.utime(file, (1e9, 1e9))
    assert is_indexed(paths[0], small)
    for path in paths[4:]:
        numbers(path, small)
    assert is_indexed(paths[0], small) and all(is_indexed(path, small) for path in paths[4:])
    assert num_files(small) == 4 and not said


def test_a_disk_that_is_nearly_full_is_left_alone(video, small, said, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: SimpleNamespace(free=2**29))
    assert numbers(video, small) == WANTED
    assert not num_files(small) and 'must leave 1 GB' in said[0]


def test_a_folder_that_the_user_names_has_no_limit(video, store, monkeypatch):
    monkeypatch.setattr(index_store, 'trim_folder', lambda *args: pytest.fail('trimmed'))
    assert numbers(video, store) == WANTED and is_indexed(video, store)


def test_the_size_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv('VICMAE_MM_INDEX_GB', '')
    assert IndexStore.in_cache().max_bytes == 5e9
    monkeypatch.setenv('VICMAE_MM_INDEX_GB', '0.5')
    assert IndexStore.in_cache().max_bytes == 5e8
    for text in ('5 GB', '0', '-1', 'nan'):
        monkeypatch.setenv('VICMAE_MM_INDEX_GB', text)
        with pytest.raises(ValueError, match='number of gigabytes'):
            IndexStore.in_cache()
