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
# A video with stored frames; those of all videos are in order. Little-endian, without padding.
VIDEO = np.dtype([
    ('path_end', '<i8'),  # where its path ends in paths.npy, and that of the next begins
    ('frame_end', '<i8'),  # the same of its rows in frames.npy
    ('label', '<i8'),  # -1 for none
    ('total_frames', '<i8'),  # of the original video
    ('shard', '<i8'),  # number of the shard with the stored frames
    ('duration', '<f8')])  # seconds; 0.0 if unknown, as in packs of older versions


class PackIndex(Sequence[dict]):
    """The index in a folder, as the records of its videos, which are made when they are read.

    It is pickled by its folder. A slice has the attributes of the whole.

    Args:
        folder (RangeReader): The folder.

    Attributes:
        classes: Names of the labels; empty if unknown.
        shards: Name and size in bytes of each.
        videos: (N,) of :data:`VIDEO`.
        frames: (M,) of FRAME, of all videos; without ``time`` in packs of the first versions.

    Raises:
        FileNotFoundError: There is no index.
        ValueError: It is damaged or not an index.
    """

    def __init__(self, folder: RangeReader) -> None:
        self._folder = folder
        try:
            entries = json.loads(folder.load(INDEX_FILE))
            self.classes, self.shards = entries['classes'], [*map(tuple, entries['shards'])]
            # An index from elsewhere must not make this program read other files of the machine.
            outside = [name for name, _ in self.shards if os.path.basename(name) != name]
            if outside:
                raise InputError(f'{outside[0]!r} is not in the same folder')
            # In packs of older versions, all but frames.npy is in index.json.
            old = _join([_tabulate(**entries['videos'])]) if 'videos' in entries else ()
            arrays = [*map(folder.load_array, ARRAYS[:3 - len(old)]), *old]
            self.frames, self.videos, self._paths = arrays
            self._check(entries['num_frames'])
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'There are no packed frames in {folder.root!r} ({error}): set data_root to a '
                'folder written by tools/data/pack_frames.py, which must have finished.') from None
        except (ValueError, TypeError, KeyError, AttributeError, EOFError) as error:
            raise InputError(
                f'{INDEX_FILE}, {", ".join(ARRAYS)} in {folder.root} are not an index of packed '
                f'frames ({error}): copy them again, or run tools/data/pack_frames.py again to '
                'rebuild them.') from error
        self._numbers = range(len(self.videos))

    def _check(self, num_frames: int) -> None:
        videos, frames = self.videos, self.frames
        if not (frames.dtype in (FRAME, np.dtype(FRAME.descr[:-1])) and videos.dtype == VIDEO
                and frames.shape == (num_frames, ) and self._paths.dtype == np.uint8
                and np.isin(videos['shard'], range(len(self.shards))).all()
                and all((np.diff(ends, prepend=0) >= 0).all() and ends[-1:].sum() == len(of) for
                        ends, of in ((videos['path_end'], self._paths),
                                     (videos['frame_end'], frames)))):
            raise InputError(f'{INDEX_FILE} counts {num_frames:,} frames')

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, item: int | slice) -> Any:
        number = self._numbers[item]
        if isinstance(number, range):
            part = object.__new__(PackIndex)
            vars(part).update(vars(self), _numbers=number)
            return part
        begin, first, *_ = self.videos[number - 1].item() if number else (0, 0)
        end, last, label, total_frames, shard, _ = self.videos[number].item()
        return _Record(filename=self._paths[begin:end].tobytes().decode('utf-8', 'surrogatepass'),
                       label=label, total_frames=total_frames, shard=self.shards[shard][0],
                       first=first, count=last - first)

    def __reduce__(self) -> tuple:
        return PackIndex, (self._folder, ), dict(_numbers=self._numbers)


class _Record(dict):
    """A record of numbers and strings, of which mmengine's deep copy would take twice as long."""

    def __deepcopy__(self, memo: dict) -> dict:
        return dict(self)


def build_index(folder: str | Path, names: Sequence[str]) -> PackIndex:
    """Write the index of shards, given by name in the order of the dataset, into their folder.

    Raises:
        ShardError: A shard is incomplete or damaged.
        OSError: A shard cannot be read, or the index cannot be written.
    """
    folder = Path(folder)
    classes: list[str] = []
    frames, tables = [np.zeros(0, FRAME)], [_tabulate((), ())]
    for number, name in enumerate(names):
        shard = read_shard(folder / name)
        classes = shard.classes
        good = [video for video in shard.videos if not video.problem]
        frames.append(shard.frames)
        tables.append(_tabulate(
            count=[len(video.frames) for video in good], shard=number,
            **{key: [getattr(video, key) for video in good]
               for key in ('path', 'label', 'total_frames', 'duration')}))
    arrays = np.concatenate(frames), *_join(tables)
    index = dict(classes=classes, num_frames=len(arrays[0]),
                 shards=[(name, (folder / name).stat().st_size) for name in names])
    # The files are written atomically, but a kill between them would leave new arrays with an old
    # index.json. Without index.json there is no index, which PackIndex reports.
    (folder / INDEX_FILE).unlink(missing_ok=True)
    for name, array in zip(ARRAYS, arrays, strict=True):
        with atomic_write(folder / name) as part, open(part, 'wb') as file:
            np.save(file, array)
    with atomic_write(folder / INDEX_FILE) as part, open(part, 'w', encoding='utf-8') as text:
        json.dump(index, text)
    return PackIndex(RangeReader(str(folder)))


def _tabulate(path: Sequence[str], count: Any, first: Any = None,
              **columns: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows of :data:`VIDEO`, as yet with lengths for ends, and the bytes of their paths."""
    paths = [each.encode('utf-8', 'surrogatepass') for each in path]
    videos = np.zeros(len(paths), VIDEO)
    for key, values in dict(columns, frame_end=count, path_end=[*map(len, paths)]).items():
        videos[key] = values
    return videos, np.frombuffer(b''.join(paths), np.uint8)


def _join(tables: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    videos, paths = map(np.concatenate, zip(*tables, strict=True))
    for key in ('path_end', 'frame_end'):
        videos[key] = videos[key].cumsum()
    return videos, paths
