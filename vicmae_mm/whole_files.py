"""Files that are written as a whole or not at all."""
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Have a file written beside its place, and put there once it is complete.

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
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
