"""The files below a folder, and what else is there."""
import functools
import logging
import os
from collections import Counter
from collections.abc import Sequence

from mmengine.logging import print_log

_log_once = functools.cache(print_log)  # a dataset may be built several times


def files_below(root: str, extensions: Sequence[str], ignored: Counter[str],
                classes: bool = False) -> list[str]:
    """Sorted paths relative to ``root`` of the files with an extension, in lower or upper case.

    Links to folders are followed; hidden files and folders are skipped. A folder is read once, or
    with ``classes`` once for each folder of ``root``. ``ignored`` counts what is not read.
    """
    def tell(error: OSError) -> None:
        if error.filename == root:
            raise error
        _log_once(f'{error.filename} cannot be listed ({error.strerror}): what it contains is '
                  'missing.', 'current', logging.WARNING)

    paths, endings = [], tuple(extensions)
    seen: set[str] = set()  # real paths, because a link may lead to a parent folder
    for folder, subfolders, names in os.walk(root, onerror=tell, followlinks=True):
        real, relative = os.path.realpath(folder), os.path.relpath(folder, root)
        if classes and relative != '.' and os.sep not in relative:
            seen = {os.path.realpath(root)}
        if real in seen:
            subfolders.clear()
            ignored['links to a folder that was read already'] += 1
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith('.'))
        for name in names:
            if name.startswith('.'):
                ignored['hidden'] += 1
            elif name.lower().endswith(endings):
                paths.append(os.path.normpath(os.path.join(relative, name)))
            else:  # looking at each file would be slow on a network disk
                ignored[os.path.splitext(name)[1] or (
                    'without extension' if os.path.exists(os.path.join(folder, name)) else
                    'broken links')] += 1
    return sorted(paths)


def report_scan(root: str, found: Sequence, what: str, ignored: Counter[str]) -> None:
    """Log in one line what was found in a folder."""
    parts = [f'{count:,} {kind}' for kind, count in sorted(ignored.most_common(12))]
    if len(ignored) > 12:
        parts.append(f'{len(ignored) - 12:,} other kinds')
    what = what.removesuffix('s') if len(found) == 1 else what
    _log_once(f'{root}: {len(found):,} {what}' + f'; ignored {", ".join(parts)}' * bool(parts),
              'current')
