"""A folder of kept indexes: one small file a video, made the first time the video is opened."""
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
    """Indexes of videos in a folder, each valid as long as its video keeps size and time.

    Any number of processes and machines may share the folder. A file in there that can't be
    used, whatever the reason, is as good as none. Where the folder can't be written to (a full
    disk, a read-only one), the log says so once and no index is added.

    Args:
        folder: Made when the first index is written.
    """

    def __init__(self, folder: str) -> None:
        self.folder = os.path.expanduser(folder)
        self._writable = True

    def load(self, video: str, state: str) -> KeptIndex | None:
        """The index kept of a video in this state, or None.

        Args:
            video: Its path.
            state: Its :func:`video_state`.
        """
        with suppress(OSError):
            with open(self._path(video), 'rb') as file:
                return KeptIndex.from_bytes(file.read(), state, os.path.getsize(video))
        return None

    def save(self, video: str, kept: KeptIndex, state: str) -> None:
        """Keep the index of a video.

        Args:
            video: Its path.
            kept: The index.
            state: :func:`video_state` from before the video was looked through.
        """
        if not self._writable:
            return
        try:
            atomic_write_bytes(self._path(video), [kept.to_bytes(state)])
        except OSError as error:
            self._writable = False
            warn_once(f'its index cannot be kept in {self.folder} ({error.strerror}), nor will '
                      'this process keep those of other videos', video)

    def _path(self, video: str) -> str:
        """Two levels of folders, as one of 240,000 files is slow on many file systems."""
        name = hashlib.sha1(os.fsencode(os.path.abspath(video))).hexdigest()
        return os.path.join(self.folder, name[:2], name[2:4], f'{name[4:]}.safetensors')


def video_state(file: str | int) -> str:
    """What an index depends on: the file, and the library that says what is in it.

    Args:
        file: Path of a video, or descriptor of one that is open.
    """
    return f'{FORMAT} {library().__version__} {file_state(file)}'
