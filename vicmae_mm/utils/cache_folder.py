"""The user's folder for what can be made again, and keeping such folders within a size."""
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from .errors import InputError

TOUCH_AFTER = 86_400  # seconds; a file in use is touched no more often than that
_OWN = re.compile(r'(^|\.)[0-9a-f]{16,}(\.|$)')  # a hash, which the name of each cached file has
_UNFINISHED = 3_600  # seconds; a ``.part`` file written to in this time is not a leftover


def cache_folder(kind: str) -> str:
    """Path of the files of one kind, such as 'lists', or of 'kind/subfolder'; not created.

    It is in the folder ``vicmae_mm`` of ``$VICMAE_MM_CACHE``, by default of ``$XDG_CACHE_HOME``, by
    default of ``~/.cache``. Without a home folder, that is below ``/``, as in most containers.
    """
    if not re.fullmatch(r'\w+(/\w+)*', kind):
        raise InputError(f'{kind!r} is not the name of a kind of cached files.')
    base = os.environ.get('XDG_CACHE_HOME', '')
    if not os.path.isabs(base):  # the specification of XDG: then it is to be ignored
        base = os.path.join(os.sep, os.path.expanduser('~').lstrip('~'), '.cache')
    base = os.path.expanduser(os.environ.get('VICMAE_MM_CACHE') or base)
    return os.path.join(os.path.realpath(base), 'vicmae_mm', kind)


def mark_used(path: str | Path, modified: float) -> None:
    """Note for :func:`trim_folder` that a file is in use; ``modified`` is its st_mtime."""
    if time.time() - modified > TOUCH_AFTER:
        with suppress(OSError):  # of another user, or gone
            os.utime(path)


def trim_folder(kind: str, max_bytes: float, in_use: float = 0) -> int:
    """Remove the files of a kind (or kind/subfolder) not used for longest, until the rest fits.

    Other processes may do this, and read, write and remove files, meanwhile. Empty files (locks),
    unfinished ones, and those used in the last ``in_use`` seconds (known to a day) stay. So does
    all that is a link, or behind one, or whose name has no hash: that is a user's, and not counted.
    Returned are the bytes that its files take now, in blocks of 4 kB; more if too much stays.
    """
    now, total, files, folder = time.time(), 0, [], cache_folder(kind)
    for parent, _, names in os.walk(folder):
        for name in filter(_OWN.search, names):
            path = os.path.join(parent, name)
            with suppress(OSError):
                state = os.lstat(path)
                size = -(-state.st_size // 4096) * 4096
                total += size
                # Readers that may not touch a file change its time of access, at most daily.
                used = max(state.st_atime, state.st_mtime)
                stays = _UNFINISHED if name.endswith('.part') else in_use
                if size and now - used >= stays and S_ISREG(state.st_mode):
                    files.append((used, size, path))
    if os.path.realpath(folder) != folder:
        return total
    for _, size, path in sorted(files):
        if total <= max_bytes:
            break
        try:
            os.remove(path)
        except FileNotFoundError:  # another process was faster
            pass
        except OSError:  # another user's
            continue
        total -= size
    return total
