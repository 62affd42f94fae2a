"""A folder of kept indexes: one small file per video, made when it is first opened."""
from __future__ import annotations

import hashlib
import os
from contextlib import suppress

from vicmae_mm.datasets.readers.container import library
from vicmae_mm.datasets.readers.messages import warn_once
from vicmae_mm.utils.atomic_files import atomic_write_bytes
from vicmae_mm.utils.file_state import file_state

from .index_file import FORMAT, KeptIndex


class IndexStore:
    """Indexes of videos in a folder, each valid while its video keeps its size and time.

    Any number of processes and machines may share the folder. A file that cannot be used, for
    whatever reason, counts as missing. The folder is created when the first index is written; if it
    cannot be written to (full, or read-only), a warning is logged once and no index is added.
    """

    def __init__(self, folder: str) -> None:
        self.folder = os.path.expanduser(folder)
        self._writable = True

    def load(self, video: str, state: str) -> KeptIndex | None:
        """The index of the video at a path, in the given :func:`video_state`; None if missing."""
        with suppress(OSError):
            return KeptIndex.read(self._path(video), state, file_state(video)[0] or 0)
        return None

    def save(self, video: str, kept: KeptIndex, state: str) -> None:
        """Keep the index of the video at a path, with its state from before it was scanned."""
        if not self._writable:
            return
        try:
            atomic_write_bytes(self._path(video), [kept.to_bytes(state)])
        except OSError as error:
            self._writable = False
            warn_once(f'its index cannot be saved in {self.folder} ({error.strerror}); this '
                      'process saves no further indexes', video)

    def drop(self, video: str) -> None:
        """Remove the index of the video at a path, which is damaged: the next opening makes it."""
        with suppress(OSError):
            os.remove(self._path(video))

    def _path(self, video: str) -> str:
        # Two levels of folders, because many file systems are slow with 240,000 files in one.
        name = hashlib.sha1(os.fsencode(os.path.abspath(video))).hexdigest()
        return os.path.join(self.folder, name[:2], name[2:4], f'{name[4:]}.safetensors')


def video_state(file: str | int) -> str:
    """What the index of a video (path or descriptor) depends on: the file and PyAV's version."""
    return f'{FORMAT} {library().__version__} {file_state(file)}'
