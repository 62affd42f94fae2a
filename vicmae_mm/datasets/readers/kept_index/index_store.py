"""A folder of kept indexes: one small file per video, made when it is first opened."""
from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from contextlib import suppress
from errno import ENOSPC

from vicmae_mm.datasets.readers.container import library
from vicmae_mm.datasets.readers.messages import warn_once
from vicmae_mm.utils.atomic_files import atomic_write_bytes
from vicmae_mm.utils.cache_folder import cache_folder, trim_folder
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.file_state import file_state

from .index_file import FORMAT, KeptIndex

KIND = 'video_indexes'  # of cached files
SIZE_VARIABLE = 'VICMAE_MM_INDEX_GB'  # of the cache folder; Kinetics-400 takes 2.9 GB
PARTS = 256  # folders that videos are spread over, each with an equal share of the size
CHECK_EVERY = 64  # indexes that a process saves in a part
IN_USE = 7 * 86_400  # seconds since the last use in which an index does not make room for others
LEAVE_FREE = 2**30  # bytes of the disk


class IndexStore:
    """Indexes of videos in a folder, each valid while its video keeps its size and time.

    Any number of processes and machines may share the folder. A file that cannot be used, for
    whatever reason, counts as missing. The folder is created when the first index is written; if it
    cannot be written to (full, or read-only), a warning is logged once and no index is added.

    The one :meth:`in_cache` has ``max_bytes``. Above, indexes not used for longest are removed, but
    none used in the last week.
    """

    def __init__(self, folder: str) -> None:
        self.folder = os.path.expanduser(folder)
        self.max_bytes: float | None = None
        self._writable = True
        self._saved = Counter[str]()  # indexes in each part

    @classmethod
    def in_cache(cls) -> IndexStore:
        """The one in the user's cache folder, of the size that the environment says.

        It is a ValueError if ``VICMAE_MM_INDEX_GB`` is not a number above 0.
        """
        text = os.environ.get(SIZE_VARIABLE) or '5'
        if not text.replace('.', '', 1).isdecimal() or not float(text):
            raise InputError(f'{SIZE_VARIABLE}={text!r} in the environment should be a number of '
                             'gigabytes above 0. To keep no indexes, set index_dir=None.')
        store = cls(cache_folder(KIND))
        store.max_bytes = float(text) * 1e9
        return store

    def load(self, video: str, state: str) -> KeptIndex | None:
        """The index of the video at a path, in the given :func:`video_state`; None if missing."""
        with suppress(OSError):
            return KeptIndex.read(self._path(video), state, file_state(video)[0] or 0)
        return None

    def save(self, video: str, kept: KeptIndex, state: str) -> None:
        """Keep the index of the video at a path, with its state from before it was scanned."""
        path = self._path(video)
        try:
            if self._writable:
                if self.max_bytes is not None:
                    self._make_room(path, self.max_bytes)
                atomic_write_bytes(path, [kept.to_bytes(state)], sync=False)
        except OSError as error:
            self._writable = False
            warn_once(f'its index cannot be saved in {self.folder} ({error.strerror}); this '
                      'process saves no further indexes, without which opening takes longer', video)

    def drop(self, video: str) -> None:
        """Remove the index of the video at a path, which is damaged: the next opening makes it."""
        with suppress(OSError):
            os.remove(self._path(video))

    def _path(self, video: str) -> str:
        # Two levels of folders, because many file systems are slow with 240,000 files in one.
        name = hashlib.sha1(os.fsencode(os.path.abspath(video))).hexdigest()
        return os.path.join(self.folder, name[:2], name[2:4], f'{name[4:]}.safetensors')

    def _make_room(self, path: str, max_bytes: float) -> None:
        """Trim the part of the folder that the file is in, now and then."""
        part, share = os.path.relpath(path, self.folder)[:2], max_bytes / PARTS
        if self._saved[part] % CHECK_EVERY == 0:
            os.makedirs(self.folder, exist_ok=True)
            if (trim_folder(f'{KIND}/{part}', share, IN_USE) > share
                    or shutil.disk_usage(self.folder).free < LEAVE_FREE):
                raise OSError(ENOSPC, (
                    f'it may take {max_bytes / 1e9:g} GB and must leave 1 GB of the disk free, and '
                    f'all in it was used in the last week: set {SIZE_VARIABLE} to more, or '
                    'index_dir of VideoInit to a folder'))
        self._saved[part] += 1


def video_state(file: str | int) -> str:
    """What the index of a video (path or descriptor) depends on: the file and PyAV's version."""
    return f'{FORMAT} {library().__version__} {file_state(file)}'
