"""Reading the files in one folder, and ranges of them."""
import io
import os
from collections.abc import Sequence

import numpy as np

from vicmae_mm.datasets.readers.base import retried

MAX_OPEN = 256  # files per process; the usual limit of the system is 1024


class RangeReader:
    """Reads the files in the folder ``root`` on a disk; may be forked and pickled."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._descriptors: dict[str, int] = {}

    def sizes(self) -> dict[str, int]:
        """Size in bytes of each file, by name."""
        with os.scandir(self.root) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}

    def local_path(self, name: str) -> str:
        """Path of a file, or of a copy of it, on this machine; '' if there is none."""
        return os.path.join(self.root, name)

    def load(self, name: str) -> bytes:
        """Read a complete file."""
        with open(self.local_path(name), 'rb') as file:
            return file.read()

    def load_array(self, name: str) -> np.ndarray:
        """The array in a ``.npy`` file: mapped, so that processes share it, or in memory."""
        path = self.local_path(name)
        # As a plain array, because np.memmap runs Python code for every slice.
        return (np.load(path, mmap_mode='r').view(np.ndarray) if path else
                np.load(io.BytesIO(self.load(name))))

    @retried
    def read(self, name: str, ranges: Sequence[tuple[int, int]],
             checksums: Sequence[int]) -> list[bytes]:
        """Bytes ``begin`` to ``end`` of a file for each range; fewer where the file ends.

        ``checksums``, the CRC-32 of each range, are for finding damaged copies of remote files.
        """
        return self._read_from(self.local_path(name), ranges)

    def _read_from(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        # No lock and no check for forks: pread has no file position, so that a process and its
        # forked children can use the same descriptor at once.
        if path not in self._descriptors:
            if len(self._descriptors) >= MAX_OPEN:
                self._close(next(iter(self._descriptors)))
            self._descriptors[path] = os.open(path, os.O_RDONLY)
        try:
            return [os.pread(self._descriptors[path], end - begin, begin) for begin, end in ranges]
        except OSError:  # on a network disk, a stale descriptor stays so
            self._close(path)
            raise

    def _close(self, path: str) -> None:
        os.close(self._descriptors.pop(path))

    def __reduce__(self) -> tuple:
        return RangeReader, (self.root, )

    def __del__(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
