"""Reading files from any storage that fsspec supports, or copies of them on this machine."""
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EIO

from fsspec.core import url_to_fs

from vicmae_mm.datasets.readers.base import retried
from vicmae_mm.utils.errors import RunError

from .shard_cache import ShardCache
from .storage import RangeReader

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
    """Reads the files in a folder of a storage, or their copies.

    Args:
        root (str): A URL that fsspec supports.
        cache_bytes (float): Limit of all copies on this machine; 0 for none.
        files (dict[str, tuple[int, str]], optional): Size and version of each file. By default,
            they are listed before the first is read.
    """

    def __init__(self, root: str, cache_bytes: float,
                 files: dict[str, tuple[int, str]] | None = None) -> None:
        super().__init__(root)
        self.cache_bytes, self._files = cache_bytes, files or {}
        self._process: int | None = None

    def sizes(self) -> dict[str, int]:
        """Size in bytes of each file, by name."""
        return {name: size for name, (size, _) in self._files.items()}

    def local_path(self, name: str) -> str:
        """Path of the copy of a file, made if there is none; '' without one."""
        self._connect()
        return self._cache.make(name)

    def load(self, name: str) -> bytes:
        """Read a complete file.

        Raises:
            RunError: The storage cannot be reached, or refuses access.
            ImportError: The package for this kind of URL is not installed; the message names it.
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
        if copy := self._cache.find(name):
            with suppress(OSError):  # of the disk with the copies
                found = self._read_from(copy, ranges)
            if [*map(zlib.crc32, found)] == [*checksums]:
                return found
        else:
            self._cache.make_later(name)
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
        self._cache = ShardCache(
            self.root, self._files, self.cache_bytes,
            lambda name, path: self._filesystem.get_file(f'{self._folder}/{name}', path))
        self._process = os.getpid()

    def __reduce__(self) -> tuple:
        return RemoteReader, (self.root, self.cache_bytes, self._files)
