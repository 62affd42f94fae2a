"""The files below a folder."""
import os
from collections.abc import Iterator


def files_below(root: str, extensions: tuple[str, ...]) -> Iterator[str]:
    """Paths relative to ``root`` of the files with an extension, in lower or upper case.

    Links to folders are followed; hidden files and folders are skipped.
    """
    seen: set[str] = set()  # real paths, because a link may lead to a parent folder
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith('.'))
        for name in files:
            if name.lower().endswith(extensions) and not name.startswith('.'):
                yield os.path.relpath(os.path.join(folder, name), root)
