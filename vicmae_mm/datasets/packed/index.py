"""The index of packed frames: which videos there are, and where each frame is stored.

Two files next to the shards, built from them alone by :func:`build_index`: ``frames.npy``, an array
of :data:`~vicmae_mm.datasets.packed.shards.FRAME`, and ``index.json``, with videos and shards.
"""
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.errors import InputError

from .shards import FRAME, read_shard
from .storage import is_remote, join, read_file

FRAMES_FILE = 'frames.npy'
INDEX_FILE = 'index.json'


@dataclass(frozen=True)
class IndexedVideo:
    """A video with stored frames."""
    path: str  # as listed
    label: int  # -1 for none
    total_frames: int  # of the original video
    shard: int  # number of the shard with the stored frames
    first: int  # the video's first row in frames.npy
    count: int  # number of its rows there
    duration: float = 0.  # seconds; 0.0 if unknown, as in packs of older versions


@dataclass(frozen=True)
class PackIndex:
    """The contents of ``index.json``."""
    classes: list[str]  # names of the labels; empty if unknown
    shards: list[tuple[str, int]]  # name and size in bytes
    videos: list[IndexedVideo]  # in the order of the dataset
    num_frames: int  # rows of frames.npy


def build_index(folder: str | Path, names: Sequence[str]) -> PackIndex:
    """Write the index of shards, given by name in the order of the dataset, into their folder.

    Raises:
        ShardError: A shard is incomplete or damaged.
        OSError: A shard cannot be read, or the index cannot be written.
    """
    folder = Path(folder)
    classes: list[str] = []
    videos: list[IndexedVideo] = []
    tables, first = [], 0
    for number, name in enumerate(names):
        shard = read_shard(folder / name)
        classes = shard.classes
        tables.append(shard.frames)
        for video in shard.videos:
            if not video.problem:
                videos.append(IndexedVideo(video.path, video.label, video.total_frames, number,
                                           first, len(video.frames), video.duration))
                first += len(video.frames)
    index = PackIndex(classes, [(name, (folder / name).stat().st_size) for name in names],
                      videos, first)
    # Both files are written atomically, but a kill between them would leave a new frames.npy with
    # an old index.json. Without index.json there is no index, which load_index reports.
    (folder / INDEX_FILE).unlink(missing_ok=True)
    with atomic_write(folder / FRAMES_FILE) as part, open(part, 'wb') as file:
        np.save(file, np.concatenate(tables))
    # One list per field: half the size of a list of objects, and twice as fast to read.
    columns = {field.name: [getattr(video, field.name) for video in videos]
               for field in fields(IndexedVideo)}
    with atomic_write(folder / INDEX_FILE) as part, open(part, 'w', encoding='utf-8') as text:
        json.dump({**vars(index), 'videos': columns}, text)
    return index


def load_index(root: str) -> PackIndex:
    """Read ``index.json``.

    Args:
        root (str): Folder, or a URL that fsspec supports.

    Raises:
        FileNotFoundError: It does not exist.
        ValueError: It is damaged or not an index.
    """
    url = join(root, INDEX_FILE)
    try:
        entries = json.loads(read_file(url))
        videos = [IndexedVideo(*row) for row in zip(*entries.pop('videos').values(), strict=True)]
        shards = [(name, size) for name, size in entries.pop('shards')]
        # An index from elsewhere must not make this program read other files of the machine.
        outside = [name for name, _ in shards if os.path.basename(name) != name]
        if outside:
            raise InputError(f'{outside[0]!r} is not in the same folder')
        return PackIndex(shards=shards, videos=videos, **entries)
    except FileNotFoundError:
        raise FileNotFoundError(
            f'There are no packed frames in {root!r} (no {INDEX_FILE}): set data_root to a folder '
            'written by tools/data/pack_frames.py, which must have finished.') from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f'{url} is not an index of packed frames ({error}): run '
                         'tools/data/pack_frames.py again to rebuild it.') from error


class FrameTable:
    """The array in ``frames.npy``: mapped into memory from a disk, read from other storage.

    Args:
        root (str): Folder, or a URL that fsspec supports.
        num_frames (int): Expected number of rows, from ``index.json``.
    """

    def __init__(self, root: str, num_frames: int) -> None:
        self.root, self.num_frames = root, num_frames
        url = join(root, FRAMES_FILE)
        try:
            # Mapped, so that 107 MB of Kinetics-400 are there at once and shared by all workers; as
            # a plain array, because np.memmap runs Python code for every slice.
            self._frames = (np.load(io.BytesIO(read_file(url))) if is_remote(root)
                            else np.load(url, mmap_mode='r').view(np.ndarray))
            # Older versions have no times.
            if (self._frames.dtype not in (FRAME, np.dtype(FRAME.descr[:-1]))
                    or self._frames.shape != (num_frames,)):
                raise InputError(f'{INDEX_FILE} counts {num_frames:,} frames')
        except (ValueError, EOFError) as error:
            raise InputError(
                f'{url} is damaged, or does not match {INDEX_FILE} ({error}): copy both again, or '
                'run tools/data/pack_frames.py again to rebuild both.') from error

    def rows(self, first: int, count: int) -> np.ndarray:
        """``count`` rows, beginning with row ``first``."""
        return self._frames[first:first + count]

    def __reduce__(self) -> tuple:
        # Pickled by location: a spawned worker maps the file again instead of receiving it.
        return FrameTable, (self.root, self.num_frames)
