"""Lists may only name files of the data, not any file of the machine."""
import os
from collections.abc import Iterable, Sequence

from vicmae_mm.utils.errors import InputError

ALLOW = ('if you trust the list, set allow_outside_root=True of the dataset (of a command, '
         '--allow-outside-root)')


def refuse_outside(paths: Iterable[str], folder: str, ann_file: str, alternative: str,
                   roots: Sequence[str] = ()) -> None:
    """Raise a ValueError if a list names a file outside of ``folder`` and ``roots``.

    Paths are absolute or relative to ``folder``; all are allowed if there are no such folders. The
    list ``ann_file`` and the ``alternative``, what else the user can do, are for the message.
    """
    allowed = [os.path.abspath(root) for root in (folder, *roots) if root]
    if not allowed:
        return
    inside = tuple(os.path.join(root, '') for root in allowed)
    for path in paths:
        if '..' not in path and (not os.path.isabs(path) or path.startswith(inside)):
            continue
        # Compared as written, without following links: people spread data over disks by links, and
        # a list cannot create one.
        absolute = os.path.abspath(os.path.join(folder, path))
        if not any(os.path.commonpath([root, absolute]) == root for root in allowed):
            with open(ann_file, encoding='utf-8-sig', errors='surrogateescape') as file:
                where = next((f'{ann_file}, line {number}' for number, line in enumerate(file, 1)
                              if path in line), ann_file)
            raise InputError(
                f'{where}: {path!r} is outside of {" and ".join(allowed)}, where the files of this '
                f'list should be. Correct the path or the folder, or {alternative}.')
