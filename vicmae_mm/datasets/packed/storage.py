"""Reading files, and ranges of them, from a disk or any storage that fsspec supports."""
import os
from collections.abc import Sequence
from typing import Any

import fsspec
from fsspec.core import url_to_fs

from vicmae_mm.datasets.readers.base import retried

MAX_OPEN = 256  # files per process; the usual limit of the system is 1024


def is_remote(root: str) -> bool:
    """Whether a folder is given by a URL, such as ``s3://bucket/folder``."""
    return '://' in root


def join(root: str, name: str) -> str:
    """Path or URL of a file in a folder."""
    return f'{root.rstrip("/")}/{name}' if is_remote(root) else os.path.join(root, name)


def read_file(url: str) -> bytes:
    """Read a complete file.

    Raises:
        FileNotFoundError: It does not exist.
        OSError: It cannot be read.
        ImportError: The package for this kind of URL is not installed; the message names it.
    """
    if not is_remote(url):
        with open(url, 'rb') as file:
            return file.read()
    with fsspec.open(url, 'rb') as file:
        return file.read()


def file_sizes(root: str) -> dict[str, int]:
    """Size in bytes of each file in a folder, by name."""
    if not is_remote(root):
        with os.scandir(root) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    # One listing for all shards: one request per shard would delay the start of every process.
    filesystem, folder = url_to_fs(root)
    return {os.path.basename(entry['name']): entry['size']
            for entry in filesystem.ls(folder, detail=True) if entry['type'] == 'file'}


class RangeReader:
    """Reads byte ranges of the files in one folder; may be forked and pickled.

    Args:
        root (str): Folder, or a URL that fsspec supports.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._descriptors: dict[str, int] = {}
        self._filesystem: Any = None
        self._folder = ''
        self._process: int | None = None

    @retried
    def read(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Bytes ``begin`` to ``end`` of a file for each range; fewer where the file ends.

        Raises:
            OSError: The file is missing or cannot be read.
        """
        if not is_remote(self.root):
            descriptor = self._descriptor(name)
            try:
                return [os.pread(descriptor, end - begin, begin) for begin, end in ranges]
            except OSError:  # on a network disk, a stale descriptor stays so
                os.close(self._descriptors.pop(name))
                raise
        # Connections do not survive a fork: fsspec serves them from a thread of the parent.
        if self._process != os.getpid():
            self._filesystem, self._folder = url_to_fs(self.root)
            self._process = os.getpid()
        begins, ends = zip(*ranges, strict=True)
        paths = [f'{self._folder}/{name}'] * len(ranges)
        try:
            # All ranges in one call, so that they are fetched concurrently: latency dominates.
            return self._filesystem.cat_ranges(paths, list(begins), list(ends), on_error='raise')
        except OSError:
            raise
        except Exception as error:
            # Every storage package has exceptions of its own, for example for a lost connection.
            raise OSError(f'{type(error).__name__}: {error}') from error

    def _descriptor(self, name: str) -> int:
        # No lock and no check for forks: pread has no file position, so that a process and its
        # forked children can use the same descriptor at once.
        if name not in self._descriptors:
            if len(self._descriptors) >= MAX_OPEN:
                oldest = next(iter(self._descriptors))
                os.close(self._descriptors.pop(oldest))
            self._descriptors[name] = os.open(join(self.root, name), os.O_RDONLY)
        return self._descriptors[name]

    def __reduce__(self) -> tuple:
        return RangeReader, (self.root, )

    def __del__(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
