"""The index of packed frames: which videos there are, and where each frame is stored.

Files next to the shards, built from them alone by :func:`build_index`: ``frames.npy``, an array of
:data:`~vicmae_mm.datasets.packed.shards.FRAME`; ``videos.npy``, one of :data:`VIDEO`;
``paths.npy``, the bytes of all paths; and ``index.json``, with classes and shards.
"""
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.errors import InputError

from .shards import FRAME, read_shard
from .storage import RangeReader

INDEX_FILE = 'index.json'
ARRAYS = ('frames.npy', 'videos.npy', 'paths.npy')
# Of the videos with stored frames, in the order of the dataset. Little-endian and without padding.
VIDEO = np.dtype([
    ('path_end', '<i8'),  # in paths.npy
    ('label', '<i8'),  # -1 for none
    ('total_frames', '<i8'),  # of the original video
    ('first', '<i8'),  # row in frames.npy
    ('count', '<i4'),  # number of rows there
    ('shard', '<i4'),  # number of the shard with the stored frames
    ('duration', '<f8')])  # seconds; 0.0 if unknown, as in packs of older versions


class PackIndex(Sequence[dict]):
    """The index in a folder, as the records of its videos, each made when it is read.

    It is pickled by its folder. A part, which slicing gives, has the attributes of all.

    Args:
        folder (RangeReader): The folder.

    Attributes:
        classes: Names of the labels; empty if unknown.
        shards: Name and size in bytes of each.
        videos: (N,) of :data:`VIDEO`, all videos.
        frames: (M,) of :data:`~vicmae_mm.datasets.packed.shards.FRAME`, their stored frames; in
            packs of the first versions without the field ``time``.

    Raises:
        FileNotFoundError: There is no index.
        ValueError: It is damaged or not an index.
    """

    def __init__(self, folder: RangeReader) -> None:
        self._folder = folder
        try:
            entries = json.loads(folder.load(INDEX_FILE))
            self.classes: list[str] = entries['classes']
            self.shards = [(name, size) for name, size in entries['shards']]
            # An index from elsewhere must not make this program read other files of the machine.
            outside = [name for name, _ in self.shards if os.path.basename(name) != name]
            if outside:
                raise InputError(f'{outside[0]!r} is not in the same folder')
            # In packs of older versions, it is in this file.
            videos = [*_tabulate(**entries['videos'])] if 'videos' in entries else []
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'There are no packed frames in {folder.root!r} ({INDEX_FILE}: {error}): set '
                'data_root to a folder written by tools/data/pack_frames.py, which must have '
                'finished.') from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f'{INDEX_FILE} in {folder.root} is not an index of packed frames '
                             f'({error}): run tools/data/pack_frames.py again to rebuild it.'
                             ) from error
        try:
            arrays = [*map(folder.load_array, ARRAYS[:3 - len(videos)]), *videos]
            self.frames, self.videos, self._paths = arrays
            self._check(entries['num_frames'])
        except (ValueError, EOFError, FileNotFoundError, KeyError) as error:
            raise InputError(
                f'{", ".join(ARRAYS)} in {folder.root} are damaged, or do not match {INDEX_FILE} '
                f'({error}): copy all again, or run tools/data/pack_frames.py again to rebuild '
                'them.') from error
        self._numbers = range(len(self.videos))

    def _check(self, num_frames: int) -> None:
        videos, frames = self.videos, self.frames
        if (frames.dtype not in (FRAME, np.dtype(FRAME.descr[:-1])) or videos.dtype != VIDEO
                or frames.shape != (num_frames, ) or self._paths.dtype != np.uint8):
            raise InputError(f'it counts {num_frames:,} frames')
        ends, counts = videos['path_end'], videos['count']
        if not ((counts > 0).all() and counts.sum() == num_frames
                and np.array_equal(np.cumsum(counts), videos['first'] + counts)
                and (np.diff(ends, prepend=0) >= 0).all() and ends[-1:].sum() == len(self._paths)
                and np.isin(videos['shard'], range(len(self.shards))).all()):
            raise InputError('the videos are not those of the frames')

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, item: int | slice) -> Any:
        number = self._numbers[item]
        if isinstance(number, range):
            part = object.__new__(PackIndex)
            vars(part).update(vars(self), _numbers=number)
            return part
        begin = self.videos[number - 1]['path_end'] if number else 0
        end, label, total, first, count, shard, _ = self.videos[number].item()
        return dict(
            filename=self._paths[begin:end].tobytes().decode('utf-8', 'surrogatepass'), label=label,
            total_frames=total, shard=self.shards[shard][0], first=first, count=count)

    def __reduce__(self) -> tuple:
        return PackIndex, (self._folder, ), dict(_numbers=self._numbers)


def build_index(folder: str | Path, names: Sequence[str]) -> PackIndex:
    """Write the index of shards, given by name in the order of the dataset, into their folder.

    Raises:
        ShardError: A shard is incomplete or damaged.
        OSError: A shard cannot be read, or the index cannot be written.
    """
    folder = Path(folder)
    classes: list[str] = []
    tables = [[np.zeros(0, kind)] for kind in (FRAME, VIDEO, np.uint8)]
    first = end = 0
    for number, name in enumerate(names):
        shard = read_shard(folder / name)
        classes = shard.classes
        good = [video for video in shard.videos if not video.problem]
        count = [len(video.frames) for video in good]
        videos, paths = _tabulate(
            **{key: [getattr(video, key) for video in good]
               for key in ('path', 'label', 'total_frames', 'duration')},
            count=count, shard=number, first=first + np.cumsum([0, *count])[:-1])
        videos['path_end'] += end
        first, end = first + sum(count), end + len(paths)
        for table, rows in zip(tables, (shard.frames, videos, paths), strict=True):
            table.append(rows)
    # The files are written atomically, but a kill between them would leave new arrays with an old
    # index.json. Without index.json there is no index, which load_index reports.
    (folder / INDEX_FILE).unlink(missing_ok=True)
    for name, table in zip(ARRAYS, tables, strict=True):
        with atomic_write(folder / name) as part, open(part, 'wb') as file:
            np.save(file, np.concatenate(table))
    index = dict(classes=classes, num_frames=first,
                 shards=[(name, (folder / name).stat().st_size) for name in names])
    with atomic_write(folder / INDEX_FILE) as part, open(part, 'w', encoding='utf-8') as text:
        json.dump(index, text)
    return PackIndex(RangeReader(str(folder)))


def _tabulate(path: Sequence[str], **columns: Any) -> tuple[np.ndarray, np.ndarray]:
    """The rows of :data:`VIDEO`, and the bytes of all paths."""
    paths = [each.encode('utf-8', 'surrogatepass') for each in path]
    videos = np.zeros(len(paths), VIDEO)
    for key, values in dict(columns, path_end=np.cumsum([*map(len, paths)])).items():
        videos[key] = values
    return videos, np.frombuffer(b''.join(paths), np.uint8)
