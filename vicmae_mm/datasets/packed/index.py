"""The index of packed frames: which videos there are, and where each frame lies.

Two files beside the shards, made from them alone (:func:`build_index`): ``frames.npy``, an array of
:data:`~vicmae_mm.datasets.packed.shards.FRAME` that processes map into memory and share (20 bytes a
frame), and ``index.json``, with the videos and the shards they lie in.
"""
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.errors import InputError

from .shards import FRAME, read_shard
from .storage import is_remote, join, read_whole

FRAMES_FILE = 'frames.npy'
INDEX_FILE = 'index.json'


@dataclass(frozen=True)
class IndexedVideo:
    """A video that frames are stored of.

    Attributes:
        path: As it was listed.
        label: Its label, -1 for none.
        total_frames: Frames of the video that was packed.
        shard: Number of the shard they lie in.
        first: Its first row in the array of frames.
        count: How many rows are its.
    """
    path: str
    label: int
    total_frames: int
    shard: int
    first: int
    count: int


@dataclass(frozen=True)
class PackIndex:
    """What ``index.json`` holds.

    Attributes:
        classes: Names of the labels; empty if not known.
        shards: Name and bytes of each shard.
        videos: The videos, in their order.
        num_frames: Rows of ``frames.npy``.
    """
    classes: list[str]
    shards: list[tuple[str, int]]
    videos: list[IndexedVideo]
    num_frames: int


def build_index(folder: str | Path, names: Sequence[str]) -> PackIndex:
    """Write the index of shards.

    Args:
        folder: Where they lie, and the index is to be.
        names: Their names, in the order of the dataset.

    Raises:
        ShardError: One is no whole shard.
        OSError: One can't be read, or the index not be written.
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
                                           first, len(video.frames)))
                first += len(video.frames)
    index = PackIndex(classes, [(name, (folder / name).stat().st_size) for name in names],
                      videos, first)
    (folder / INDEX_FILE).unlink(missing_ok=True)  # or a kill could leave two that do not match
    with atomic_write(folder / FRAMES_FILE) as part, open(part, 'wb') as file:
        np.save(file, np.concatenate(tables))
    with atomic_write(folder / INDEX_FILE) as part, open(part, 'w', encoding='utf-8') as text:
        json.dump({**vars(index), 'videos': _columns(videos)}, text)
    return index


def load_index(root: str) -> PackIndex:
    """Read ``index.json`` of packed frames.

    Args:
        root (str): Folder, or URL of one that fsspec knows.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is something else.
    """
    url = join(root, INDEX_FILE)
    try:
        entries = json.loads(read_whole(url))
        videos = [IndexedVideo(*row) for row in zip(*entries.pop('videos').values(), strict=True)]
        shards = [(name, size) for name, size in entries.pop('shards')]
        outside = [name for name, _ in shards if os.path.basename(name) != name]
        if outside:
            raise InputError(f'{outside[0]!r} is not beside it')
        return PackIndex(shards=shards, videos=videos, **entries)
    except FileNotFoundError:
        raise FileNotFoundError(
            f'There are no packed frames in {root!r} (no {INDEX_FILE}): set data_root to what '
            'tools/data/pack_frames.py has made, and let it come to its end.') from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f'{url} is no index of packed frames ({error}): run '
                         'tools/data/pack_frames.py again, which makes it anew.') from error


class FrameTable:
    """The array of frames: mapped into memory from a disk, read whole from elsewhere.

    Forked processes share its memory; copied or pickled along, it is mapped or read anew.

    Args:
        root (str): Folder, or URL of one that fsspec knows.
        num_frames (int): Its rows as ``index.json`` has it.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is not whole, or does not belong to ``index.json``.
    """

    def __init__(self, root: str, num_frames: int) -> None:
        self.root, self.num_frames = root, num_frames
        url = join(root, FRAMES_FILE)
        try:
            self._frames = (np.load(io.BytesIO(read_whole(url))) if is_remote(root)
                            else np.load(url, mmap_mode='r').view(np.ndarray))
            if self._frames.dtype != FRAME or self._frames.shape != (num_frames,):
                raise InputError(f'{INDEX_FILE} beside it tells of {num_frames:,} frames')
        except (ValueError, EOFError) as error:
            raise InputError(
                f'{url} is not whole, or of other packed frames than {INDEX_FILE} ({error}): copy '
                'both anew, or run tools/data/pack_frames.py again, which makes both anew.'
            ) from error

    def rows(self, first: int, count: int) -> np.ndarray:
        """``count`` rows of :data:`~vicmae_mm.datasets.packed.shards.FRAME` from ``first`` on."""
        return self._frames[first:first + count]

    def __reduce__(self) -> tuple:
        return FrameTable, (self.root, self.num_frames)


def _columns(videos: Iterable[IndexedVideo]) -> dict[str, list]:
    """Half the size of a list of objects, and read twice as fast."""
    rows = [asdict(video) for video in videos]
    return {name: [row[name] for row in rows] for name in IndexedVideo.__dataclass_fields__}
