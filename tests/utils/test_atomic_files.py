"""Atomic writing: a file is replaced by a complete one, or stays as it was."""
import os

import pytest

from vicmae_mm.utils.atomic_files import (
    atomic_file,
    atomic_write,
    atomic_write_bytes,
    part_name,
    remove_leftovers,
)


def test_it_appears_when_the_block_ends(tmp_path):
    path = tmp_path / 'new folder' / 'a.txt'
    with atomic_write(path) as part:
        part.write_text('complete')
        assert not path.exists() and part.parent == path.parent
    assert path.read_text() == 'complete' and list(path.parent.iterdir()) == [path]


def test_file_and_then_its_name_are_synced_to_disk(tmp_path, monkeypatch):
    events = []
    sync, replace = os.fsync, os.replace

    def note_sync(descriptor):
        events.append(os.readlink(f'/proc/self/fd/{descriptor}'))
        sync(descriptor)

    def note_replace(source, target):
        events.append('renamed')
        replace(source, target)

    monkeypatch.setattr(os, 'fsync', note_sync)
    monkeypatch.setattr(os, 'replace', note_replace)
    atomic_write_bytes(tmp_path / 'a.pth', [b'complete'])
    part, *rest = events
    assert part.endswith('.part') and rest == ['renamed', str(tmp_path)]


@pytest.mark.parametrize('stop', [ValueError, KeyboardInterrupt])
def test_the_old_file_stays_if_the_block_raises(tmp_path, stop):
    path = tmp_path / 'a.txt'
    path.write_text('before')
    with pytest.raises(stop), atomic_write(path) as part:
        part.write_text('half')
        raise stop
    assert path.read_text() == 'before' and list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / 'a.txt'):
        pass


def test_errors_name_the_file_that_was_to_be_written(tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        atomic_write_bytes(tmp_path, [b'x'])
    assert caught.value.filename == str(tmp_path) and not [*tmp_path.parent.glob('*.part')]


def test_leftovers_are_removed_but_not_a_file_that_is_being_written(tmp_path):
    with atomic_write(tmp_path / 'a.pth') as part:
        part.touch()
    left = part.name
    for name in (left, 'a.pth.123.part'):
        (tmp_path / name).write_text('of a process that was killed')
    (tmp_path / 'notes.part').write_text('not ours')
    removed = []

    def pieces():
        yield b'half'
        removed.extend(remove_leftovers(tmp_path))
        yield b' and half'

    atomic_write_bytes(tmp_path / 'b.pth', pieces())
    assert [path.name for path in removed] == sorted([left, 'a.pth.123.part'])
    assert (tmp_path / 'b.pth').read_bytes() == b'half and half'
    assert (tmp_path / 'notes.part').exists()


def test_writers_of_one_path_do_not_share_a_file(tmp_path, monkeypatch):
    """Nor do processes of two machines that have the same number."""
    monkeypatch.setattr(os, 'getpid', lambda: 1)
    with atomic_write(tmp_path / 'a.txt') as outer:
        outer.write_text('outer')
        with atomic_write(tmp_path / 'a.txt') as inner:
            inner.write_text('inner')
        assert (tmp_path / 'a.txt').read_text() == 'inner' and outer.read_text() == 'outer'
    assert (tmp_path / 'a.txt').read_text() == 'outer'
    assert os.listdir(tmp_path) == ['a.txt']


@pytest.mark.parametrize('name', [
    'a' * 255, '\u4f1a' * 85, 'ab' + '\u4f1a' * 84 + 'c', '\udce9' * 255, '\n' * 255], ids=range(5))
def test_names_of_255_bytes(tmp_path, name):
    assert len(os.fsencode(name)) == 255
    with atomic_write(tmp_path / name) as part:
        part.write_text('complete')
        assert part.name.startswith(part_name(name)) and part.name.encode()
    assert os.listdir(tmp_path) == [name] and (tmp_path / name).read_text() == 'complete'


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(OSError, match='too long'), atomic_write(tmp_path / ('a' * 256)) as part:
        part.touch()
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork')
def test_a_process_forked_meanwhile_has_no_part_in_the_file(tmp_path):
    """Its copy would keep the lock, and the disk's space; its buffer would be written twice."""
    with atomic_file(tmp_path / 'a.pth') as file:
        file.write(b'half')
        child = os.fork()
        if not child:
            try:
                os.fstat(file.fileno())
            except ValueError:  # closed
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert not remove_leftovers(tmp_path)
        file.write(b' and half')
    assert (tmp_path / 'a.pth').read_bytes() == b'half and half'
