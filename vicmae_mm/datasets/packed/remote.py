"""Reading files from any storage that fsspec supports, or copies of them on this machine."""
import fcntl
import hashlib
import logging
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EACCES, EDQUOT, EIO, ENOSPC, EPERM, EROFS
from glob import escape, glob
from threading import Thread

from fsspec.core import url_to_fs
from mmengine.logging import print_log

from vicmae_mm.datasets.readers.base import retried
from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.cache_folder import TOUCH_AFTER, cache_folder, mark_used, trim_folder
from vicmae_mm.utils.errors import RunError

from .storage import RangeReader

KIND = 'packed_shards'  # of cached files
PAUSE = 60.  # seconds after a copy that failed

# What storages call a property of a file that changes with its content; not those on this machine.
_VERSIONS = ('ETag', 'etag', 'md5Hash', 'Content-MD5', 'LastModified', 'last_modified',
             'Last-Modified', 'updated')
_ACCESS = ('set credentials that may read it (for s3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, '
           'or FSSPEC_S3_ANON=true for a public bucket)')
_ADDRESS = 'check the network and the address (for s3 also AWS_ENDPOINT_URL), or start again later'


@contextmanager
def _numbered_errors() -> Iterator[None]:
    """Raise errors of a connection as errors of the system, after which reading is retried."""
    try:
        yield
    except Exception as error:
        # Every storage package has exceptions of its own, for example for a lost connection.
        if isinstance(error, (FileNotFoundError, PermissionError, ImportError)) or (
                isinstance(error, OSError) and error.errno):
            raise
        raise OSError(EIO, f'{type(error).__name__}: {error}') from error


class RemoteReader(RangeReader):
    """Reads the files in a folder of a storage, or copies, which the processes of a machine share.

    A hash of size and version is in the name of a copy, so it is never out of date. One process at
    a time makes one. What was used in the last two days is not removed for another. ``root`` is a
    URL that fsspec supports, ``max_bytes`` the limit of all copies on this machine, 0 for none.
    ``files``, size and version of each ('' for no copy), are listed before the first is read.
    """

    def __init__(self, root: str, max_bytes: float,
                 files: dict[str, tuple[int, str]] | None = None) -> None:
        super().__init__(root)
        self.max_bytes, self._files = max_bytes, files or {}
        self._copies = os.path.join(cache_folder(KIND), _hash(root.rstrip('/')))
        self._process: int | None = None
        self._thread = Thread()

    def __reduce__(self) -> tuple:
        return RemoteReader, (self.root, self.max_bytes, self._files)

    def sizes(self) -> dict[str, int]:
        """Size in bytes of each file, by name."""
        return {name: size for name, (size, _) in self._files.items()}

    def load(self, name: str) -> bytes:
        """Read a complete file; a RunError if the storage cannot be reached or refuses access.

        An ImportError names the package for this kind of URL that is not installed.
        """
        try:
            with _numbered_errors():
                return super().load(name) if self.local_path(name) else (
                    self._filesystem.cat_file(f'{self._folder}/{name}'))
        except FileNotFoundError:
            raise
        except OSError as error:
            refused = isinstance(error, PermissionError) or 'redentials' in str(error)
            raise RunError(f'{self.root} cannot be read ({error}): '
                           f'{_ACCESS if refused else _ADDRESS}.') from error

    @retried
    @_numbered_errors()
    def read(self, name: str, ranges: Sequence[tuple[int, int]],
             checksums: Sequence[int]) -> list[bytes]:
        """As of a local file. A copy without these checksums is dropped."""
        self._connect()
        found: list[bytes] = []
        if copy := self._find(name):
            with suppress(OSError):  # of the disk with the copies
                found = self._read_from(copy, ranges)
            if [*map(zlib.crc32, found)] == [*checksums]:
                return found
        elif not self._is_full and not self._thread.is_alive():
            # Until then, it is read remotely: the first batch is from most of the shards.
            self._thread = Thread(target=self._copy_later, args=(name, ), daemon=True)
            self._thread.start()
        begins, ends = zip(*ranges, strict=True)
        # All ranges in one call, so that they are fetched concurrently: latency dominates.
        fetched = self._filesystem.cat_ranges(
            [f'{self._folder}/{name}'] * len(ranges), list(begins), list(ends), on_error='raise')
        if found and found != fetched:
            self._close(copy)
            with suppress(OSError):
                os.remove(copy)
        return fetched

    def _connect(self) -> None:
        # Connections do not survive a fork: fsspec serves them from a thread of the parent.
        if self._process == os.getpid():
            return
        self._filesystem, self._folder = url_to_fs(self.root.rstrip('/'))
        if not self._files:
            self._filesystem.invalidate_cache()
            # One request for all: one for each shard would delay the start of every process. The
            # pages of web servers list names alone.
            files = [file if file['size'] is not None else self._filesystem.info(file['name'])
                     for file in self._filesystem.ls(self._folder, detail=True)
                     if file['type'] == 'file']
            self._files = {os.path.basename(file['name']): (file['size'], next(
                (str(file[key]) for key in _VERSIONS if file.get(key)), '')) for file in files}
        # Or none has a version: a disk of this machine, or a storage that does not tell.
        self._is_full = not (self.max_bytes and any(part for _, part in self._files.values()))
        self._process = os.getpid()

    def _find(self, name: str) -> str:
        """Path of the copy of a file; '' if there is none."""
        path = os.path.join(self._copies, f'{name}.{_hash(self._files.get(name))}')
        with suppress(OSError):
            state = os.stat(path)
            if state.st_size == self._files[name][0]:
                mark_used(path, state.st_mtime)
                return path
        return ''

    def local_path(self, name: str) -> str:
        """Path of the copy of a file, made if there is none; '' if that fails, which is logged."""
        self._connect()
        path, version = self._find(name), self._files.get(name, (0, ''))[1]
        if path or self._is_full or not version:
            return path
        try:
            os.makedirs(self._copies, exist_ok=True)
            with open(os.path.join(cache_folder(KIND), 'lock'), 'ab') as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                try:
                    return self._find(name) or self._copy(name)
                finally:  # closing it is not enough if a process was forked meanwhile
                    fcntl.flock(lock, fcntl.LOCK_UN)
        except Exception as error:  # any storage's
            self._is_full = getattr(error, 'errno', 0) in (ENOSPC, EDQUOT, EROFS, EACCES, EPERM)
            print_log(f'{self.root}: {name}{" and others are" if self._is_full else " is"} read '
                      f'remotely: no copy in {self._copies} ({error}). VICMAE_MM_CACHE sets another'
                      ' folder, cache_gb of the dataset its size.', 'current', logging.WARNING)
            return ''

    def _copy(self, name: str) -> str:
        stem, size = os.path.join(self._copies, name), self._files[name][0]
        for old in glob(f'{escape(stem)}.*'):  # of another version, or unfinished
            os.remove(old)
        room = self.max_bytes - size
        if room < 0 or trim_folder(KIND, room, 2 * TOUCH_AFTER) > room:
            raise OSError(ENOSPC, f'it may have {self.max_bytes / 1e9:g} GB')
        with atomic_write(f'{stem}.{_hash(self._files[name])}') as part:
            self._filesystem.get_file(f'{self._folder}/{name}', str(part))
            if part.stat().st_size != size:
                raise OSError(EIO, 'it arrived incomplete, or has changed')
        return self._find(name)

    def _copy_later(self, name: str) -> None:
        if not self.local_path(name):
            time.sleep(PAUSE)


def _hash(text: object) -> str:
    return hashlib.sha256(repr(text).encode()).hexdigest()[:16]
