"""The user's folder for what can be made again, and keeping such folders within a size."""
import os
import time
from contextlib import suppress
from pathlib import Path

TOUCH_AFTER = 86_400  # seconds; a file in use is touched no more often than that
_UNFINISHED = 3_600  # seconds; a ``.part`` file written to in this time is not a leftover


def cache_folder(name: str) -> str:
    """Path of one kind of cached files; neither created nor checked.

    It is in ``$VICMAE_MM_CACHE``, by default ``$XDG_CACHE_HOME/vicmae_mm``, by default
    ``~/.cache/vicmae_mm``. Without a home folder, that is below ``/``, as in most containers.
    """
    base = os.environ.get('XDG_CACHE_HOME', '')
    if not os.path.isabs(base):  # the specification of XDG: then it is to be ignored
        base = os.path.join(os.sep, os.path.expanduser('~').lstrip('~'), '.cache')
    root = os.environ.get('VICMAE_MM_CACHE') or os.path.join(base, 'vicmae_mm')
    return os.path.join(os.path.abspath(os.path.expanduser(root)), name)


def mark_used(path: str | Path, modified: float) -> None:
    """Note for :func:`trim_folder` that a file is in use; ``modified`` is its st_mtime."""
    if time.time() - modified > TOUCH_AFTER:
        with suppress(OSError):  # of another user, or gone
            os.utime(path)


def trim_folder(folder: str | Path, max_bytes: float, in_use: float = 0) -> int:
    """Remove the files below a folder that were not used for longest, until it fits.

    Other processes may do this, and read, write and remove files, meanwhile. Empty files (locks),
    unfinished ones, and those used in the last ``in_use`` seconds (known to a day) stay. So does
    everything outside of the cache folder: a wrong path must not cost a user's files.

    Returns:
        Bytes that its files take now, in blocks of 4 kB; above ``max_bytes`` if too much stays.
    """
    now, total, files = time.time(), 0, []
    is_ours = Path(cache_folder('')) in Path(os.path.abspath(folder)).parents
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with suppress(OSError):
                state = os.stat(path)
                size = -(-state.st_size // 4096) * 4096
                total += size
                # Readers that may not touch a file change its time of access, at most daily.
                used = max(state.st_atime, state.st_mtime)
                stays = _UNFINISHED if name.endswith('.part') else in_use
                if size and now - used >= stays:
                    files.append((used, size, path))
    for _, size, path in sorted(files):
        if total <= max_bytes or not is_ours:
            break
        try:
            os.remove(path)
        except FileNotFoundError:  # another process was faster
            pass
        except OSError:  # another user's
            continue
        total -= size
    return total
