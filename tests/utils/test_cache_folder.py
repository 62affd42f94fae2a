"""Where the cache folder is, and what stays in it."""
import os
import time
from pathlib import Path

import pytest

from vicmae_mm.utils.cache_folder import TOUCH_AFTER, cache_folder, mark_used, trim_folder


@pytest.mark.parametrize('variables, expected', [
    ({'VICMAE_MM_CACHE': '/mnt/cache', 'XDG_CACHE_HOME': '/x'}, '/mnt/cache/vicmae_mm/lists'),
    ({'VICMAE_MM_CACHE': '~/c'}, '/home/me/c/vicmae_mm/lists'),
    ({'VICMAE_MM_CACHE': '', 'XDG_CACHE_HOME': '/x'}, '/x/vicmae_mm/lists'),
    ({'XDG_CACHE_HOME': 'relative'}, '/home/me/.cache/vicmae_mm/lists'),
    ({}, '/home/me/.cache/vicmae_mm/lists'),
    ({'HOME': '/nonexistent'}, '/nonexistent/.cache/vicmae_mm/lists'),
])
def test_where_it_is(variables, expected, monkeypatch):
    """The project's variable, the desktop's, the home folder."""
    for name in ('VICMAE_MM_CACHE', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({'HOME': '/home/me'} | variables).items():
        monkeypatch.setenv(name, value)
    assert cache_folder('lists') == expected


def test_no_home_folder_is_not_a_folder_named_tilde(monkeypatch):
    """A container's user may have no entry in the system's list of users."""
    for name in ('VICMAE_MM_CACHE', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, 'expanduser', str)
    assert cache_folder('lists') == '/.cache/vicmae_mm/lists'


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A kind of cached files; what is beside it is not the cache's."""
    monkeypatch.setenv('VICMAE_MM_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache/vicmae_mm/kind'


def _file(path: Path, age: float, size: int = 5000, key: str = '.' + 'a' * 16) -> Path:
    path = path.with_name(path.stem + key + path.suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age, ) * 2)
    return path


def test_least_recently_used_files_go_first(cache):
    """Until what is left fits, counted in blocks; a file that was touched stays."""
    files = [_file(cache / str(i % 2) / f'{i}', 3 * TOUCH_AFTER - i) for i in range(5)]
    mark_used(files[0], files[0].stat().st_mtime)
    assert trim_folder('kind', 5 * 8192) == 5 * 8192
    assert trim_folder('kind', 3 * 8192 + 1) == 3 * 8192
    assert [file.exists() for file in files] == [True, False, False, True, True]
    assert trim_folder('none', 0) == 0


def test_files_in_use_locks_and_unfinished_files_stay(cache):
    """Then the folder stays too large, and the caller is told."""
    old, new = _file(cache / 'old', 100), _file(cache / 'new', 0)
    lock, part = _file(cache / 'a.lock', 9999, 0), _file(cache / 'a.1.part', 100)
    leftover = _file(cache / 'b.1.part', 9999)
    assert trim_folder('kind', 0, in_use=50) == 2 * 8192
    assert [file.exists() for file in (old, new, lock, part, leftover)] == [
        False, True, True, True, False]


@pytest.mark.parametrize('name', ['train.txt', 'shard-00000.zip', 'abc.safetensors', 'deadbeef'])
def test_files_of_the_user_stay(cache, name):
    """``VICMAE_MM_CACHE`` may be a folder of data, where the kind is a name of the user, too."""
    file, own = _file(cache / name, 9999, key=''), _file(cache / name, 0)
    assert trim_folder('kind', 0) == 0
    assert file.exists() and not own.exists()


def test_a_recent_file_is_not_touched(cache):
    """One write a day, not one a use; a file that is gone or another user's is no error."""
    file = _file(cache / 'a', 100)
    before = file.stat().st_mtime
    mark_used(file, before)
    assert file.stat().st_mtime == before
    mark_used(cache / 'none', 0)


def test_a_file_that_may_not_be_removed_counts(cache, monkeypatch):
    """A shared folder has other users' files."""
    _file(cache / 'a', 100)

    def remove(path: str) -> None:
        raise PermissionError(path)
    monkeypatch.setattr(os, 'remove', remove)
    assert trim_folder('kind', 0) == 8192


def test_nothing_outside_of_the_kind_is_removed(cache, tmp_path):
    """Not what is beside it in the user's folder, nor by a name that is a path."""
    own = _file(cache / 'a', 9999)
    others = [_file(path / 'a', 9999) for path in (tmp_path, cache.parent.parent, cache.parent)]
    for kind in ('', '..', '../..', 'kind/../..', '.', 'kind/', str(tmp_path), '~'):
        with pytest.raises(ValueError, match='not the name'):
            trim_folder(kind, 0)
    assert own.exists() and trim_folder('kind', 0) == 0
    assert all(other.exists() for other in others) and not own.exists()


def test_nothing_is_removed_through_a_link(cache, tmp_path):
    """Neither a link to a file or folder in the kind, nor a kind that is a link itself."""
    data = _file(tmp_path / 'data/a.mp4', 9999)
    cache.mkdir(parents=True)
    (cache / 'file').symlink_to(data)
    (cache / 'folder').symlink_to(data.parent)
    (cache.parent / 'linked').symlink_to(data.parent)
    for kind in ('kind', 'kind/folder', 'linked'):
        trim_folder(kind, -1)
    assert data.exists() and len(list(cache.iterdir())) == 2
