"""Indexes of lists: the same files, made once, noticed when they are damaged or out of date."""
import copy
import multiprocessing
import os
import pickle
import time

import numpy as np
import pytest

from vicmae_mm.datasets.annotations import list_index, video_lists
from vicmae_mm.datasets.annotations.list_index import make_index
from vicmae_mm.datasets.annotations.video_lists import find_files
from vicmae_mm.utils.cache_folder import cache_folder
from vicmae_mm.utils.errors import RunError

FILES = [(f'class {i % 3}/ünï {i}, "x".mp4', i - 1) for i in range(200)] + [
    ('/abs/caf\udce9\U0001f600\udc80.mp4', 10**30), ('line\nbreak.mp4', -7)]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The files of the cache folder; small lists get one, too."""
    monkeypatch.setattr(list_index, 'MIN_BYTES', 0)
    monkeypatch.setenv('VICMAE_MM_CACHE', str(tmp_path / 'cache'))

    def kept() -> list[str]:
        folder = cache_folder('lists')
        return sorted(os.path.join(folder, name) for name in os.listdir(folder)
                      if not name.endswith('.lock'))
    return kept


@pytest.fixture
def data(tmp_path):
    """Two videos, a list of them, and a function that reads it."""
    class Data:
        file, reads = tmp_path / 'list.txt', 0

        def write(self, text: str) -> None:
            self.file.write_text(text)

        def read(self, root: str = '', allow: bool = False) -> list[tuple[str, int]]:
            self.index, _ = find_files(str(self.file), str(tmp_path), root, allow, False)
            return [(os.path.relpath(path, tmp_path), label) for path, label in self.index]
    for name in 'ab':
        (tmp_path / f'{name}.mp4').touch()
    data = Data()
    data.write('a.mp4 1\nb.mp4 2\n')
    parse = video_lists.parse_videos

    def counting(*args):
        data.reads += 1
        return parse(*args)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video_lists, 'parse_videos', counting)
        yield data


@pytest.mark.parametrize('length', [0, 1, 31, 32, 33, 64, 202])
def test_every_file_as_it_was(length):
    index = make_index(iter(FILES[:length]))
    assert [*index] == FILES[:length] == [index[i] for i in range(len(index))]
    assert [*copy.deepcopy(index)] == [*pickle.loads(pickle.dumps(index))] == [*index]
    for place in (length, -length - 1):
        with pytest.raises(IndexError):
            index[place]


@pytest.mark.parametrize('folder', ['', 'data', 'data/'])
def test_paths_are_joined_as_by_os_path(folder):
    assert [*make_index(FILES, folder)] == [(os.path.join(folder, path), label)
                                            for path, label in FILES]


def test_records_and_slices():
    records = make_index(FILES)
    records.names = 'name', 'label'
    expected = [dict(name=path, label=label) for path, label in FILES]
    for item in (slice(None), slice(100), slice(-100, None), slice(1, 150, 7),
                 slice(None, None, -3)):
        part = records[item][1:]
        assert [*part] == expected[item][1:] == [part[i] for i in range(len(part))]
        assert [*pickle.loads(pickle.dumps(part))] == [*part]
    assert records[-1] == records[np.int64(len(records) - 1)] == expected[-1]


def test_list_is_parsed_once_for_each_content(kept, data, tmp_path):
    assert data.read() == data.read() == [('a.mp4', 1), ('b.mp4', 2)]
    assert data.reads == 1 and len(kept()) == 1
    assert data.index.source == kept()[0] and len(pickle.dumps(data.index)) < 500
    before = os.stat(data.file)
    running = data.index
    data.write('b.mp4 1\na.mp4 2\n')  # the same size and time
    os.utime(data.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert data.read() == [('b.mp4', 1), ('a.mp4', 2)] and data.reads == 2
    assert [label for _, label in running] == [1, 2]
    data.file.rename(tmp_path / 'copy.txt')  # under another name, but the same
    data.file = tmp_path / 'copy.txt'
    assert data.read() == [('b.mp4', 1), ('a.mp4', 2)] and data.reads == 2
    data.file.rename(tmp_path / 'copy.tsv')  # read by other rules
    data.file = tmp_path / 'copy.tsv'
    data.read()
    assert data.reads == 3


def test_checks_of_another_root_are_made(kept, data, tmp_path):
    inside = tmp_path / 'inside'
    inside.mkdir()
    (inside / 'a.mp4').touch()
    data.write('../b.mp4\na.mp4\n')
    for _ in range(2):  # nor is a list that is refused kept
        with pytest.raises(ValueError, match=r'line 1: .*outside'):
            find_files(str(data.file), str(inside), '', False, False)
    assert kept() == []
    for root, allow in ((str(tmp_path), False), ('', True)):
        assert len(find_files(str(data.file), str(inside), root, allow, False)[0]) == 2
    with pytest.raises(ValueError, match='outside'):
        find_files(str(data.file), str(inside), '', False, False)


@pytest.mark.parametrize('damage', [
    lambda content: b'', lambda content: content[:5], lambda content: content[:-1],
    lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:],
    lambda content: content + b'x', lambda content: b'\xff' * len(content)])
def test_damaged_index_is_made_again(kept, data, damage):
    data.read()
    file, = kept()
    with open(file, 'rb') as old:
        content = old.read()
    with open(file, 'wb') as new:
        new.write(damage(content))
    assert data.read() == [('a.mp4', 1), ('b.mp4', 2)] and data.reads == 2
    with open(file, 'rb') as new:
        assert new.read() == content


def test_damaged_block_stops_the_run_and_is_made_again(kept, data):
    data.read()
    file, = kept()
    with open(file, 'r+b') as index:
        index.seek(12)
        index.write(b'\0\0\0\0')
    with pytest.raises(RunError, match=r'is damaged.*start again'):
        data.read()
    assert data.read() == [('a.mp4', 1), ('b.mp4', 2)] and data.reads == 2


def test_folder_that_cannot_be_written(data, monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr(list_index, 'MIN_BYTES', 0)
    monkeypatch.setattr(list_index, 'print_log', lambda text, *level: said.append(text))
    (tmp_path / 'file').touch()
    monkeypatch.setenv('VICMAE_MM_CACHE', str(tmp_path / 'file'))
    assert data.read() == data.read() == [('a.mp4', 1), ('b.mp4', 2)]
    assert data.reads == len(said) == 2 and 'VICMAE_MM_CACHE' in said[0]


def test_list_that_changes_while_it_is_read_is_not_kept(kept, data, monkeypatch):
    read = video_lists.read_annotations

    def changing(*args):
        data.write('a.mp4 3\n')
        return read(*args)
    monkeypatch.setattr(video_lists, 'read_annotations', changing)
    assert data.read() == [('a.mp4', 3)] and kept() == []


def test_small_lists_and_old_indexes_take_no_space(kept, data, monkeypatch):
    data.read()
    for file in kept():
        os.utime(file, (1, 1))
    monkeypatch.setattr(list_index, 'MAX_BYTES', 0)
    data.write('a.mp4\n')
    data.read()
    assert len(kept()) <= 1
    monkeypatch.setattr(list_index, 'MIN_BYTES', 2**20)
    data.write('b.mp4\n')
    data.read()
    assert len(kept()) <= 1 and isinstance(data.index.source, bytearray)


def test_one_of_several_processes_makes_it(kept, data, tmp_path, monkeypatch):
    read = video_lists.read_annotations

    def slowly(*args):
        with open(tmp_path / 'reads', 'a') as file:
            file.write('x')
        time.sleep(.3)
        return read(*args)
    monkeypatch.setattr(video_lists, 'read_annotations', slowly)
    context = multiprocessing.get_context('fork')
    with context.Pool(3) as pool:
        found = pool.starmap(_labels, [(str(data.file), str(tmp_path))] * 3, chunksize=1)
    assert found == [[1, 2]] * 3 and (tmp_path / 'reads').read_text() == 'x'
    assert len(kept()) == 1


def _labels(file: str, folder: str) -> list[int]:
    return [label for _, label in find_files(file, folder, '', False, False)[0]]
