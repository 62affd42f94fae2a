"""Errors of the system in reading a file, made in this process."""
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from unittest.mock import patch

from vicmae_mm.datasets.readers import base, container


@contextmanager
def failing_disk(name: str, number: int, at: int | None = None,
                 times: int = 10**6) -> Iterator[None]:
    """Files whose names end so fail ``times`` times with an error of the system.

    Args:
        at: Reads that go beyond this offset in bytes fail; None, if opening fails.
    """
    left = [times]
    real_stat = os.stat

    def fail(file: str, position: int | None) -> None:
        if str(file).endswith(name) and left[0] and (at or 0) <= (position or 0):
            left[0] -= 1
            raise OSError(number, os.strerror(number), file)

    def stat(path: str) -> os.stat_result:
        fail(path, None)
        return real_stat(path)

    @base.retried
    def read(file: FileIO, size: int) -> bytes:
        fail(file.name, file.tell() + size)
        return FileIO.read(file, size)

    broken = (patch.object(container, 'os', type('os', (), dict(stat=stat))) if at is None else
              patch.object(container._SourceFile, '_read', read))
    with patch.object(base, 'RETRY_WAITS', (0, 0)), broken:
        yield
