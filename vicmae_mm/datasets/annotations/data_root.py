"""Lists name files of the data, not any file of the machine."""
import os
from collections.abc import Iterable, Sequence

from vicmae_mm.utils.errors import InputError

ALLOW = 'if you trust the list, set allow_outside_root=True of the dataset'


def refuse_outside(paths: Iterable[str], folder: str, ann_file: str, otherwise: str,
                   roots: Sequence[str] = ()) -> None:
    """Refuse a list that leads out of the data.

    Paths are compared as they are written: a link inside the data may lead anywhere, as that is how
    people lay data out over disks, and no list makes one. Where no folder is named, neither
    ``folder`` nor one of ``roots``, there is nothing to lead out of.

    Args:
        paths (Iterable[str]): As listed, absolute or relative to ``folder``.
        folder (str): What they are relative to.
        ann_file (str): The list, for the message.
        otherwise (str): What else can be done, for the message.
        roots (Sequence[str]): More folders that files may lie in.

    Raises:
        ValueError: A path is in none of the folders.
    """
    allowed = [os.path.abspath(root) for root in (folder, *roots) if root]
    if not allowed:
        return
    for path in paths:
        if not os.path.isabs(path) and '..' not in path:
            continue
        whole = os.path.abspath(os.path.join(folder, path))
        if not any(os.path.commonpath([root, whole]) == root for root in allowed):
            raise InputError(
                f'{_where(ann_file, path)}: {path!r} leads out of {" and ".join(allowed)}, where '
                'the files of this list should lie. Correct the path, or the folder if it is the '
                f'wrong one; {otherwise}.')


def _where(ann_file: str, path: str) -> str:
    with open(ann_file, encoding='utf-8-sig', errors='surrogateescape') as file:
        for number, line in enumerate(file, 1):
            if path in line:
                return f'{ann_file}, line {number}'
    return ann_file
