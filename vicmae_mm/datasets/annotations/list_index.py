"""An index of a list of files: made at the first start, then shared by all processes."""
import hashlib
import json
import logging
import os
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Any

from mmengine.logging import print_log

from vicmae_mm.utils.atomic_files import atomic_write_bytes, locked
from vicmae_mm.utils.cache_folder import cache_folder, mark_used, trim_folder
from vicmae_mm.utils.errors import RunError
from vicmae_mm.version import __version__

MIN_BYTES, MAX_BYTES = 2**20, 2**32  # of a list that gets an index file; of all these files
_BLOCK = 32  # files: to read one, a block is decoded, in 15 to 25 us


class ListIndex(Sequence):
    """A sequence of tuples that begin with a path, or of records, in blocks with checksums.

    A process has a table of the blocks, and reads one by ``pread`` from the page cache, which all
    processes share (a mapped file would kill it where the disk fails). Pickling copies no file.
    ``source`` is what :func:`make_index` makes, or a file of that; relative paths are relative to
    ``folder``; ``names`` are the keys of a record.
    """

    def __init__(self, source: Any, folder: str = '', names: Sequence[str] = ()) -> None:
        self.source, self.folder, self.names = source, folder, names
        self._file = open(source, 'rb', buffering=0) if isinstance(source, str) else None
        end = (os.fstat(self._file.fileno()).st_size if self._file else len(source)) - 8
        length = int.from_bytes(self._read(end, end + 8), 'little')
        self._ends = array('Q', zlib.decompress(self._read(max(end - length, 0), end)))
        self._places = range(self._ends.pop())
        self._last: tuple[int, list] = -1, []  # the block that was read last

    def __reduce__(self) -> tuple:
        return ListIndex, (self.source, self.folder, self.names), dict(_places=self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, slice):
            part = object.__new__(type(self))
            vars(part).update(vars(self), _places=self._places[item])
            return part
        number, place = divmod(self._places[item], _BLOCK)
        if self._last[0] != number:
            self._last = number, self._block(number)
        return self._named(self._last[1][place])

    def __iter__(self) -> Iterator[Any]:
        places = self._places
        if places.step < 0:
            return map(self.__getitem__, range(len(self)))
        files = chain.from_iterable(map(self._block, range(len(self._ends))))
        return map(self._named, islice(files, places.start, places.stop, places.step))

    def _named(self, file: tuple) -> Any:
        return dict(zip(self.names, file, strict=True)) if self.names else file

    def _block(self, number: int) -> list[tuple]:
        begin = self._ends[number - 1] if number else 0
        try:
            paths, *others = json.loads(zlib.decompress(self._read(begin, self._ends[number])))
        except (OSError, zlib.error) as error:
            if self._file is None:
                raise
            with suppress(OSError):
                os.remove(self.source)
            raise RunError(f'The index {self.source!r} of a list is damaged ({error}). It has been '
                           'removed: start again (--resume), and it is made again.') from error
        if prefix := os.path.join(self.folder, ''):
            paths = [path if path.startswith(os.sep) else prefix + path for path in paths]
        return [*zip(paths, *others, strict=True)]

    def _read(self, begin: int, end: int) -> bytes:
        return os.pread(self._file.fileno(), end - begin, begin) if self._file else (
            self.source[begin:end])


def make_index(files: Iterable[tuple], folder: str = '') -> ListIndex:
    """Index files in memory, in 4 to 22 bytes each; ``folder`` is that of relative paths."""
    files, content, ends, count = iter(files), bytearray(), array('Q'), 0
    while block := [*islice(files, _BLOCK)]:
        content += zlib.compress(json.dumps([*zip(*block, strict=True)]).encode(), 1)
        ends.append(len(content))
        count += len(block)
    table = zlib.compress(array('Q', [*ends, count]).tobytes(), 1)
    return ListIndex(content + table + len(table).to_bytes(8, 'little'), folder)


def kept_index(path: str, settings: Sequence[object], read: Callable[[], ListIndex]) -> ListIndex:
    """What ``read`` returns for a list; after its first call from a file in the cache folder.

    A hash of the list and of ``settings``, all else that decides the result, names the file: it is
    never out of date. One process of a machine makes it. Small lists have none.
    """
    if not os.path.isfile(path) or os.path.getsize(path) < MIN_BYTES:
        return read()
    name = _digest(path, settings)
    file = os.path.join(cache_folder('lists'), name)
    with locked(f'{file}.lock'):
        with suppress(OSError, ValueError, zlib.error):  # missing or damaged
            index = ListIndex(file)
            mark_used(file, os.path.getmtime(file))
            return index
        index = read()
        try:
            if _digest(path, settings) == name:  # else it has just been changed
                atomic_write_bytes(file, [index.source])
                trim_folder('lists', MAX_BYTES)
                return ListIndex(file)
        except OSError as error:
            print_log(f'{path} is parsed at every start, because {file} cannot be written '
                      f'({error.strerror}): set another VICMAE_MM_CACHE.', 'current',
                      logging.WARNING)
        return index


def _digest(path: str, settings: Sequence[object]) -> str:
    content = hashlib.blake2b(repr((__version__, *settings)).encode(), digest_size=16)
    with open(path, 'rb') as file:
        while piece := file.read(2**20):
            content.update(piece)
    return content.hexdigest()
