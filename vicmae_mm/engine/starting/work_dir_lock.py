"""One training per work dir."""
import errno
import fcntl
import logging
import os
import socket
import time
from pathlib import Path
from typing import TextIO

from mmengine.logging import print_log

from vicmae_mm.utils.errors import RunError


class WorkDirInUseError(RunError):
    """Another run trains in the same work dir."""


# The kernel drops a lock when its process closes any file of that name: there is one per work dir.
_held: dict[str, TextIO | None] = {}


def lock_work_dir(work_dir: str) -> None:
    """Reserve a work dir for this process until :func:`unlock_work_dir` or its end.

    A second call has no effect. Where the file system has no locks, a warning says so. If another
    process holds it, a WorkDirInUseError names machine, process and time.
    """
    key = os.path.realpath(work_dir)
    if key not in _held:
        _held[key] = _lock(work_dir)


def unlock_work_dir(work_dir: str) -> None:
    """Release what :func:`lock_work_dir` reserved, if anything."""
    _held.pop(os.path.realpath(work_dir), None)


def _lock(work_dir: str) -> TextIO | None:
    """The locked file in a work dir; None, and a warning, if it cannot be locked.

    It is never removed: a run that had just opened it could lock that one, and the next a new one.
    """
    path = Path(work_dir, 'run.lock')
    file: TextIO | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # For appending: what the holder has written must stay until the lock is ours.
        file = path.open('a+')
        # A lock of POSIX belongs to this process: children that outlive it do not have it,
        # and the kernel releases it however the process ends, also over NFS.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN) and file is not None:
            file.seek(0)
            raise WorkDirInUseError(
                f'{work_dir} is in use by a run: {file.read().strip() or "another process"}. Stop '
                'that run, or choose another folder with --work-dir. If that machine is gone and '
                f'its lock remains, remove {path}.') from None
        print_log(f'{path} cannot be locked ({error.strerror}): make sure that no other run uses '
                  'this work dir.', 'current', logging.WARNING)
        return None
    file.truncate(0)
    started = time.strftime('%Y-%m-%d %H:%M:%S')
    file.write(f'process {os.getpid()} on {socket.gethostname()}, since {started}\n')
    file.flush()
    return file
