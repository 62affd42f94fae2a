"""A checksum inside a checkpoint, and whether a file is what was written.

The SHA-256 stands in the comment of the zip archive that a checkpoint is. It moves with the file,
and torch, zipfile and unzip read such a file like any other.
"""
import hashlib
import mmap
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

_MARK = b'vicmae_mm sha256 '
_COMMENT = len(_MARK) + 64  # the digest in hex
# zip's end of central directory; its last two bytes are the length of the comment that follows
_END, _END_SIZE = b'PK\5\6', 22
_LENGTH = _COMMENT.to_bytes(2, 'little')
_BLOCK = 1 << 24


def with_checksum(content: bytes) -> Iterator[bytes | memoryview]:
    """Yield the pieces of a file: the content of a zip archive with its checksum added.

    Content of any other kind is yielded as it is.
    """
    if content[-_END_SIZE:-_END_SIZE + 4] != _END or content[-2:] != b'\0\0':
        yield content
        return
    archive = memoryview(content)[:-2]
    tail = _LENGTH + _MARK
    digest = hashlib.sha256(archive)
    digest.update(tail)
    yield archive
    yield tail
    yield digest.hexdigest().encode()


def find_damage(path: str | Path, deep: bool = False) -> str | None:
    """Say what is wrong with a file, without unpickling it.

    Every flipped byte and every cut of a file with a checksum is found, those of the checksum
    itself too: mark and length of the comment tell of each other.

    Args:
        path: A file.
        deep: Also check files without a checksum: by the sums zip keeps of its members, if
            the file is no old-style pickle, which has none.

    Returns:
        The damage in a few words; None for a file that is whole, or that can't be told.
    """
    size = os.path.getsize(path)
    if size == 0:
        return 'it is empty' if deep else None
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = data.rfind(_END, max(0, size - _END_SIZE - 0xFFFF))
        claims = end >= 0 and data[end + 20:end + _END_SIZE] == _LENGTH
        if claims and end + _END_SIZE + _COMMENT != size:
            return f'it has {size} bytes and not {end + _END_SIZE + _COMMENT}'
        if claims or data[-_COMMENT:].startswith(_MARK):
            return _compare(data)
        if not deep or data[:1] == b'\x80':
            return None
    return _test_zip(path)


def newest_whole_beside(path: str | Path) -> Path | None:
    """Find the newest undamaged file with the same ending in the folder of a damaged one."""
    path = Path(path).expanduser()
    others = [other for other in path.parent.glob(f'*{path.suffix}')
              if other.is_file() and other != path]
    others.sort(key=lambda other: other.stat().st_mtime_ns, reverse=True)
    return next((other for other in others if find_damage(other, deep=True) is None), None)


def _compare(data: mmap.mmap) -> str | None:
    digest = hashlib.sha256()
    for start in range(0, len(data) - 64, _BLOCK):
        digest.update(data[start:min(start + _BLOCK, len(data) - 64)])
    if data[-_COMMENT:] == _MARK + digest.hexdigest().encode():
        return None
    return 'its content does not have the checksum that it was written with'


def _test_zip(path: str | Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        return f'it can not be read: {error}'
    return None if bad is None else f'{bad} in it does not have its checksum'
