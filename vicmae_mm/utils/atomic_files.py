"""Atomic writing: a file is replaced by a complete one, or stays as it was."""
import fcntl
import os
import re
import secrets
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import BinaryIO
from weakref import WeakSet

_PART = re.compile(r'(\.(\d+|[0-9a-f]{16}))?\.part$')  # digits or none: earlier versions
_opened: WeakSet[BufferedWriter] = WeakSet()
# A data-loading worker would keep the lock and, once the file is removed, its space. Closed below
# the buffer: what is in there, the parent writes.
os.register_at_fork(after_in_child=lambda: [file.raw.close() for file in _opened])


@contextmanager
def atomic_write(path: str | Path, sync: bool = True) -> Iterator[Path]:
    """Write a temporary file, and rename it to ``path`` once it is complete and on disk.

    If the block raises, the old file stays. Processes, threads and machines may write the same path
    concurrently; the last one wins. The folder is created; the temporary file is
    ``NAME.RANDOM.part`` in it. ``sync=False`` is for what can be made again and is checked when it
    is read: a power failure may leave an empty or damaged file, and nothing waits for the disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not the process id: another machine that shares the folder may have the same.
    part = path.with_name(f'{part_name(path)}.{secrets.token_hex(8)}.part')
    try:
        yield part
        # A renaming may reach the disk before the data: a power failure would leave an empty file.
        if sync:
            _sync(part)
        os.replace(part, path)
        if sync:
            with suppress(OSError):  # not every file system can sync a folder
                _sync(path.parent)
    except OSError as error:
        if str(error.filename) == str(part):
            error.filename = str(path)  # the name that the user knows
        raise
    finally:
        part.unlink(missing_ok=True)


def part_name(path: str | Path) -> str:
    """What the names of the temporary files of a path begin with: its name, cut if it is long."""
    # A name may have 255 bytes, the ending takes 22. Half a character would not be UTF-8.
    return os.fsencode(os.path.basename(path))[:233].decode(errors='ignore')


def check_writable(path: str | Path) -> None:
    """Check that a file can be written, or replaced, before it is known what to write.

    Its folder is created; an existing file is unchanged.

    Raises:
        OSError: The path is a folder, its folder is none, or one of them may not be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f'{path} is a folder: name a file.')
    if path.parent.exists() and not path.parent.is_dir():
        raise NotADirectoryError(f'{path.parent} is not a folder: {path} cannot be written.')
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass
    if path.exists():
        with open(path, 'ab'):
            pass


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Wait until no other process, on any machine, is in such a block for the file ``path``."""
    with ExitStack() as stack:  # to close the file releases the lock
        with suppress(OSError):  # read-only, or a file system without locks
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            fcntl.lockf(stack.enter_context(open(path, 'ab')), fcntl.LOCK_EX)
        yield


@contextmanager
def atomic_file(path: str | Path, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a file with :func:`atomic_write`; :func:`remove_leftovers` finds what a kill leaves."""
    # Closing the file unlocks it, so that comes after the renaming.
    with ExitStack() as locked, atomic_write(path, sync) as part:
        file = locked.enter_context(open(part, 'wb'))
        _opened.add(file)
        _lock(file.fileno())
        yield file
        file.flush()


def atomic_write_bytes(path: str | Path, pieces: Iterable[bytes | memoryview],
                       sync: bool = True) -> None:
    """Write bytes with :func:`atomic_file`."""
    with atomic_file(path, sync) as file:
        file.writelines(pieces)


def remove_leftovers(folder: str | Path, names: Collection[str] = ()) -> list[Path]:
    """Remove, and return, what kills inside :func:`atomic_write_bytes` left in a folder.

    With ``names``, what those inside :func:`atomic_write` left of these (:func:`part_name`).
    """
    removed = []
    for part in sorted(Path(folder).glob('*.part')):
        match = _PART.search(part.name)
        if match and (part.name[:match.start()] in names if names else match[1]):
            with suppress(OSError), open(part, 'rb') as file:
                # The system drops a lock when its process ends, however that ends.
                if _lock(file.fileno()):
                    part.unlink()
                    removed.append(part)
    return removed


def _lock(descriptor: int) -> bool:
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
