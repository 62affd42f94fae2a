"""The index of packed frames: which videos there are, and where each frame is stored.

Files next to the shards, built from them alone by :func:`build_index`: ``frames.npy``, an array of
:data:`~vicmae_mm.datasets.packed.shards.FRAME`; ``videos.npy``, the bytes of a :class:`ListIndex`
with :data:`VIDEO`; and ``index.json``, with classes and shards.
"""
import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vicmae_mm.datasets.annotations.list_index import ListIndex, make_index
from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.errors import InputError

from .shards import FRAME, read_shard
from .storage import RangeReader

INDEX_FILE = 'index.json'
ARRAYS = ('frames.npy', 'videos.npy')
# Of a video with stored frames: the number of its shard, its rows in frames.npy, the duration in
# seconds, 0.0 if unknown.
VIDEO = 'filename', 'label', 'total_frames', 'shard', 'first', 'count', 'duration'


class PackIndex(ListIndex):
    """The index in a folder, as the records of its videos. It is pickled by its folder.

    ``classes`` are names of the labels, empty if unknown; ``shards`` have name and size in bytes;
    ``frames`` (M,) of FRAME are of all videos, without ``time`` in packs of the first versions.
    Raises FileNotFoundError if there is no index, ValueError if it is damaged or none.
    """

    def __init__(self, reader: RangeReader) -> None:
        self._reader = reader
        try:
            entries = json.loads(reader.load(INDEX_FILE))
            self.classes, self.shards = entries['classes'], [*map(tuple, entries['shards'])]
            # An index from elsewhere must not make this program read other files of the machine.
            outside = [name for name, _ in self.shards if os.path.basename(name) != name]
            if outside:
                raise InputError(f'{outside[0]!r} is not in the same folder')
            self.frames = reader.load_array(ARRAYS[0])
            if old := entries.get('videos'):  # in packs of older versions, here and by columns
                old = dict(filename=old['path'], duration=[0.] * len(old['path'])) | old
                videos = make_index(zip(*map(old.get, VIDEO), strict=True)).source
            else:
                videos = reader.load_array(ARRAYS[1])
            if not (self.frames.dtype in (FRAME, np.dtype(FRAME.descr[:-1]))
                    and self.frames.shape == (entries['num_frames'], )
                    and (old or (videos.dtype == np.uint8
                                 and zlib.crc32(videos.data) == entries['videos_crc']))):
                raise InputError('they do not belong together')
            super().__init__(videos, names=VIDEO)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'There are no packed frames in {reader.root!r} ({error}): set data_root to a '
                'folder written by vicmae pack, which must have finished.') from None
        except (ValueError, TypeError, KeyError, AttributeError, EOFError) as error:
            raise InputError(
                f'{INDEX_FILE}, {", ".join(ARRAYS)} in {reader.root} are not an index of packed '
                f'frames ({error}): copy them again, or run vicmae pack again to '
                'rebuild them.') from error

    def __reduce__(self) -> tuple:
        return PackIndex, (self._reader, ), dict(_places=self._places)


def build_index(folder: str | Path, names: Sequence[str]) -> PackIndex:
    """Write the index of shards, given by name in the order of the dataset, into their folder.

    Raises a ShardError if a shard is incomplete or damaged, an OSError if a disk is at fault.
    """
    folder = Path(folder)
    classes: list[str] = []
    frames, rows, first = [np.zeros(0, FRAME)], [], 0
    for number, name in enumerate(names):
        shard = read_shard(folder / name)
        classes = shard.classes
        frames.append(shard.frames)
        for video in shard.videos:
            if not video.problem:
                rows.append((video.path, video.label, video.total_frames, number, first,
                             len(video.frames), video.duration))
                first += len(video.frames)
    arrays = np.concatenate(frames), np.frombuffer(make_index(rows).source, np.uint8)
    index = dict(classes=classes, num_frames=first, videos_crc=zlib.crc32(arrays[1].data),
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
