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

PAUSE = 10.  # seconds after a download that failed


class ShardCache:
    """Copies of the files in a remote folder, in ``cache_folder('packed_shards')``.

    A hash of size and version is in the name of a copy, so it is never out of date. The processes
    of a machine make one at a time. What was used in the last two days is not removed for another.

    Args:
        root (str): URL of the folder.
        files (Mapping[str, tuple[int, str]]): Size and version of each file; '' for no copies.
        max_bytes (float): Limit of all copies.
        download (Callable[[str, str], None]): Writes a file, given by its name, to a path.
    """

    def __init__(self, root: str, files: Mapping[str, tuple[int, str]], max_bytes: float,
                 download: Callable[[str, str], None]) -> None:
        self.root, self.files, self.max_bytes, self._download = root, files, max_bytes, download
        self._all = cache_folder('packed_shards')
        self._folder = os.path.join(self._all, _hash(root.rstrip('/')))
        self._is_full = not max_bytes
        self._thread = Thread()

    def find(self, name: str) -> str:
        """Path of the copy of a file; '' if there is none, which is then made in the background."""
        path = self._find(name)
        if not path and not self._is_full and not self._thread.is_alive():
            # While others are read remotely: the first batch is from most of the shards.
            self._thread = Thread(target=self._try_to_make, args=(name, ), daemon=True)
            self._thread.start()
        return path

    def make(self, name: str) -> str:
        """Path of the copy of a file, which is made if there is none; '' if there is no room."""
        path = self._find(name)
        if path or self._is_full or not self.files.get(name, (0, ''))[1]:
            return path
        try:
            os.makedirs(self._folder, exist_ok=True)
            with open(os.path.join(self._all, 'lock'), 'ab') as lock:
                try:
                    with suppress(OSError):  # without locks, two processes may make the same copy
                        fcntl.flock(lock, fcntl.LOCK_EX)
                    return self._find(name) or self._make(name)
                finally:
                    with suppress(OSError):  # a process forked meanwhile would keep it locked
                        fcntl.flock(lock, fcntl.LOCK_UN)
        except OSError as error:
            if error.errno not in (ENOSPC, EDQUOT, EROFS, EACCES, EPERM):
                raise
            return self._stop(f'cannot be written to ({error.strerror})')

    def _make(self, name: str) -> str:
        path, size = self._path(name), self.files[name][0]
        for old in glob(escape(os.path.join(self._folder, name)) + '.*'):
            os.remove(old)  # of another version, or unfinished
        room = self.max_bytes - size
        if room < 0 or trim_folder(self._all, room, 2 * TOUCH_AFTER) > room:
            return self._stop('is full')
        with atomic_write(path) as part:
            self._download(name, str(part))
            if part.stat().st_size != size:
                raise OSError(EIO, 'it arrived incomplete, or has changed')
        return path

    def _try_to_make(self, name: str) -> None:
        try:
            self.make(name)
        except Exception as error:
            print_log(f'{self.root}: {name} could not be copied and is read remotely; copying it '
                      f'is tried again ({error})', 'current', logging.WARNING)
            time.sleep(PAUSE)

    def _stop(self, reason: str) -> str:
        self._is_full = True
        print_log(f'{self.root}: the rest is read remotely, because {self._all} {reason}. '
                  'VICMAE_MM_CACHE sets another folder, cache_gb of the dataset its size.',
                  'current', logging.WARNING)
        return ''

    def drop(self, path: str) -> None:
        """Remove a copy that is damaged."""
        with suppress(OSError):
            os.remove(path)

    def _find(self, name: str) -> str:
        path = self._path(name)
        with suppress(OSError):
            state = os.stat(path)
            if state.st_size == self.files[name][0]:
                mark_used(path, state.st_mtime)
                return path
        return ''

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, f'{name}.{_hash(self.files.get(name))}')


def _hash(text: object) -> str:
    return hashlib.sha256(repr(text).encode()).hexdigest()[:16]
