"""Reading parts of files, on a disk or wherever fsspec reaches."""
import os
from collections.abc import Sequence
from typing import Any

import fsspec
from fsspec.core import url_to_fs

MAX_OPEN = 256  # files a process keeps open; a system's limit is 1024 as a rule


def is_remote(root: str) -> bool:
    """Whether a folder is given by a URL, such as ``s3://bucket/folder``."""
    return '://' in root


def join(root: str, name: str) -> str:
    """Path or URL of a file in a folder."""
    return f'{root.rstrip("/")}/{name}' if is_remote(root) else os.path.join(root, name)


def read_whole(url: str) -> bytes:
    """The bytes of a file.

    Raises:
        FileNotFoundError: There is none.
        OSError: It can't be read.
        ImportError: The package for this kind of URL is not installed; the message names it.
    """
    if not is_remote(url):
        with open(url, 'rb') as file:
            return file.read()
    with fsspec.open(url, 'rb') as file:
        return file.read()


def file_sizes(root: str) -> dict[str, int]:
    """Bytes of each file in a folder, by name.

    Raises:
        OSError: It can't be listed.
    """
    if not is_remote(root):
        with os.scandir(root) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    filesystem, folder = url_to_fs(root)
    return {os.path.basename(entry['name']): entry['size']
            for entry in filesystem.ls(folder, detail=True) if entry['type'] == 'file'}


class RangeReader:
    """Reads ranges of the files of one folder.

    It may be forked and pickled along: files and connections are each process's own.

    Args:
        root (str): Folder, or URL of one that fsspec knows.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._descriptors: dict[str, int] = {}
        self._filesystem: Any = None
        self._folder = ''
        self._process: int | None = None

    def read(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Bytes ``begin`` to ``end`` of a file, for each range; fewer where the file ends.

        From object storage, they are fetched at the same time.

        Raises:
            OSError: The file is missing or can't be read.
        """
        if not is_remote(self.root):
            descriptor = self._descriptor(name)
            return [os.pread(descriptor, end - begin, begin) for begin, end in ranges]
        if self._process != os.getpid():  # connections do not survive a fork
            self._filesystem, self._folder = url_to_fs(self.root)
            self._process = os.getpid()
        begins, ends = zip(*ranges, strict=True)
        paths = [f'{self._folder}/{name}'] * len(ranges)
        try:
            return self._filesystem.cat_ranges(paths, list(begins), list(ends), on_error='raise')
        except OSError:
            raise
        except Exception as error:  # each kind of storage has its own, for a lost connection say
            raise OSError(f'{type(error).__name__}: {error}') from error

    def _descriptor(self, name: str) -> int:
        """An open file; those of a parent serve its children too, as ``pread`` has no position."""
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
