"""Files that are written as a whole or not at all."""
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: leftovers stay, as nobody can tell whose they are
    fcntl = None  # type: ignore[assignment]

_PART = re.compile(r'\.\d+\.part$')


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Have a file written beside its place, and put there once it is complete and on the disk.

    What stood there stays until then, and for good if the block raises. Processes that write the
    same file do not disturb each other.

    Args:
        path: The file; its folder is made.

    Yields:
        The path to write to.

    Raises:
        OSError: It can't be written there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        yield part
        _sync(part)
        os.replace(part, path)
        with suppress(OSError):  # not every file system can sync a folder
            _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def atomic_write_bytes(path: str | Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write bytes by :func:`atomic_write`; leftovers of a kill are known as such.

    Raises:
        OSError: They can't be written there.
    """
    with ExitStack() as locked, atomic_write(path) as part:
        file = locked.enter_context(open(part, 'wb'))  # closed, and unlocked, after the renaming
        _lock(file.fileno())
        file.writelines(pieces)
        file.flush()


def remove_leftovers(folder: str | Path) -> list[Path]:
    """Remove what processes killed inside :func:`atomic_write_bytes` have left in a folder.

    A process locks the file it writes, and the system drops the lock when the process ends,
    whatever ends it: only files that nobody writes are removed.

    Returns:
        The files removed.
    """
    removed = []
    for part in sorted(Path(folder).glob('*.part')):
        if _PART.search(part.name):
            with suppress(OSError), open(part, 'rb') as file:
                if _lock(file.fileno()):
                    part.unlink()
                    removed.append(part)
    return removed


def _lock(descriptor: int) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
