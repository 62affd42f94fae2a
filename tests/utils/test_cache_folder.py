"""Where the cache folder is, and what stays in it."""
import os
import time
from pathlib import Path

import pytest

from vicmae_mm.utils.cache_folder import TOUCH_AFTER, cache_folder, mark_used, trim_folder


@pytest.mark.parametrize('variables, expected', [
    ({'VICMAE_MM_CACHE': '/mnt/cache', 'XDG_CACHE_HOME': '/x'}, '/mnt/cache/lists'),
    ({'VICMAE_MM_CACHE': '~/c'}, '/home/me/c/lists'),
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


def _file(path: Path, age: float, size: int = 5000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age, ) * 2)
    return path


def test_least_recently_used_files_go_first(tmp_path):
    """Until what is left fits, counted in blocks; a file that was touched stays."""
    files = [_file(tmp_path / str(i % 2) / f'{i}', 3 * TOUCH_AFTER - i) for i in range(5)]
    mark_used(files[0], files[0].stat().st_mtime)
    assert trim_folder(tmp_path, 5 * 8192) == 5 * 8192
    assert trim_folder(tmp_path, 3 * 8192 + 1) == 3 * 8192
    assert [file.exists() for file in files] == [True, False, False, True, True]
    assert trim_folder(tmp_path / 'none', 0) == 0


def test_files_in_use_locks_and_unfinished_files_stay(tmp_path):
    """Then the folder stays too large, and the caller is told."""
    old, new = _file(tmp_path / 'old', 100), _file(tmp_path / 'new', 0)
    lock, part = _file(tmp_path / 'a.lock', 9999, 0), _file(tmp_path / 'a.1.part', 100)
    leftover = _file(tmp_path / 'b.1.part', 9999)
    assert trim_folder(tmp_path, 0, in_use=50) == 2 * 8192
    assert [file.exists() for file in (old, new, lock, part, leftover)] == [
        False, True, True, True, False]


def test_a_recent_file_is_not_touched(tmp_path):
    """One write a day, not one a use; a file that is gone or another user's is no error."""
    file = _file(tmp_path / 'a', 100)
    before = file.stat().st_mtime
    mark_used(file, before)
    assert file.stat().st_mtime == before
    mark_used(tmp_path / 'none', 0)


def test_a_file_that_may_not_be_removed_counts(tmp_path, monkeypatch):
    """A shared folder has other users' files."""
    _file(tmp_path / 'a', 100)

    def remove(path: str) -> None:
        raise PermissionError(path)
    monkeypatch.setattr(os, 'remove', remove)
    assert trim_folder(tmp_path, 0) == 8192
