"""Atomic writing: a file is replaced by a complete one, or stays as it was."""
import os

import pytest

from vicmae_mm.utils.atomic_files import atomic_write, atomic_write_bytes, remove_leftovers


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


def test_leftovers_are_removed_but_not_a_file_that_is_being_written(tmp_path):
    (tmp_path / 'a.pth.123.part').write_text('of a process that was killed')
    (tmp_path / 'notes.part').write_text('not ours')
    removed = []

    def pieces():
        yield b'half'
        removed.extend(remove_leftovers(tmp_path))
        yield b' and half'

    atomic_write_bytes(tmp_path / 'b.pth', pieces())
    assert [path.name for path in removed] == ['a.pth.123.part']
    assert (tmp_path / 'b.pth').read_bytes() == b'half and half'
    assert (tmp_path / 'notes.part').exists()
