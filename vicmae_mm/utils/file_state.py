"""Recognising a file that has changed."""
import os

FileState = tuple[int | None, int | None]


def file_state(path: str | int) -> FileState:
    """Size in bytes and modification time in ns; (None, None) for a missing file."""
    try:
        stat = os.stat(path)
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return None, None
    return stat.st_size, stat.st_mtime_ns
