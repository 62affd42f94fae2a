"""Copies of remote files on a disk of this machine, shared by its processes."""
import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from errno import EACCES, EDQUOT, EIO, ENOSPC, EPERM, EROFS
from glob import escape, glob
from threading import Thread

from mmengine.logging import print_log

from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.cache_folder import TOUCH_AFTER, cache_folder, mark_used, trim_folder

PAUSE = 60.  # seconds after a copy that failed


class ShardCache:
    """Copies of the files in a remote folder, in ``cache_folder('packed_shards')``.

    A hash of size and version is in the name of a copy, so it is never out of date. The processes
    of a machine make one at a time. What was used in the last two days is not removed for another.

    Args:
        root (str): URL of the folder.
        files (Mapping[str, tuple[int, str]]): Size and version of each file; '' for no copy.
        max_bytes (float): Limit of all copies.
        download (Callable[[str, str], None]): Writes a file, given by its name, to a path.
    """

    def __init__(self, root: str, files: Mapping[str, tuple[int, str]], max_bytes: float,
                 download: Callable[[str, str], None]) -> None:
        self.root, self.files, self.max_bytes, self._download = root, files, max_bytes, download
        self._all = cache_folder('packed_shards')
        self._folder = os.path.join(self._all, _hash(root.rstrip('/')))
        # Or none has a version: a disk of this machine, or a storage that does not tell.
        self._is_full = not max_bytes or not any(version for _, version in files.values())
        self._thread = Thread()

    def find(self, name: str) -> str:
        """Path of the copy of a file; '' if there is none."""
        path = os.path.join(self._folder, f'{name}.{_hash(self.files.get(name))}')
        with suppress(OSError):
            state = os.stat(path)
            if state.st_size == self.files[name][0]:
                mark_used(path, state.st_mtime)
                return path
        return ''

    def make(self, name: str) -> str:
        """Path of the copy of a file, made if there is none; '' if that fails, which is logged."""
        path, (size, version) = self.find(name), self.files.get(name, (0, ''))
        if path or self._is_full or not version:
            return path
        try:
            os.makedirs(self._folder, exist_ok=True)
            with open(os.path.join(self._all, 'lock'), 'ab') as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                try:
                    return self.find(name) or self._make(name, size)
                finally:  # closing it is not enough if a process was forked meanwhile
                    fcntl.flock(lock, fcntl.LOCK_UN)
        except Exception as error:  # any storage's
            self._is_full = getattr(error, 'errno', 0) in (ENOSPC, EDQUOT, EROFS, EACCES, EPERM)
            print_log(f'{self.root}: {name}{" and others are" if self._is_full else " is"} read '
                      f'remotely: no copy in {self._all} ({error}). VICMAE_MM_CACHE sets another '
                      'folder, cache_gb of the dataset its size.', 'current', logging.WARNING)
            return ''

    def _make(self, name: str, size: int) -> str:
        stem = os.path.join(self._folder, name)
        for old in glob(f'{escape(stem)}.*'):  # of another version, or unfinished
            os.remove(old)
        room = self.max_bytes - size
        if room < 0 or trim_folder('packed_shards', room, 2 * TOUCH_AFTER) > room:
            raise OSError(ENOSPC, f'it may have {self.max_bytes / 1e9:g} GB')
        with atomic_write(f'{stem}.{_hash(self.files[name])}') as part:
            self._download(name, str(part))
            if part.stat().st_size != size:
                raise OSError(EIO, 'it arrived incomplete, or has changed')
        return self.find(name)

    def make_later(self, name: str) -> None:
        """Make the copy of a file in a thread, unless one is being made."""
        def make() -> None:
            if not self.make(name):
                time.sleep(PAUSE)

        # Until then, it is read remotely: the first batch is from most of the shards.
        if not self._is_full and not self._thread.is_alive():
            self._thread = Thread(target=make, daemon=True)
            self._thread.start()


def _hash(text: object) -> str:
    return hashlib.sha256(repr(text).encode()).hexdigest()[:16]
