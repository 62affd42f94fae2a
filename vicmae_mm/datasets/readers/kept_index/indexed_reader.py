"""Reading with PyAV what has been looked through before."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BufferedReader, FileIO
from typing import TYPE_CHECKING

import numpy as np

from vicmae_mm.datasets.readers.base import VideoError
from vicmae_mm.datasets.readers.pyav_reader import NotAsIndexed, PyAVReader

from .index_file import KeptIndex
from .index_store import IndexStore, video_state
from .packet_locations import find_packet_locations, is_same

if TYPE_CHECKING:
    from av.packet import Packet

READ_AHEAD = 2**16  # bytes; packets that are decoded together mostly lie together


def open_indexed(path: str, store: IndexStore) -> PyAVReader:
    """Open a video by its kept index; without one, as ever, and keep one for the next time.

    Raises:
        ImportError: PyAV is not installed.
        VideoError: The file can't be opened as a video or holds no frame.
    """
    state = video_state(path)
    kept = store.load(path, state)
    if kept is None:
        reader = PyAVReader(path)
        store.save(path, _look_through(reader, state), state)
        return reader
    if kept.places is None and not kept.index.unreliable_reason:
        return PyAVReader(path)
    try:
        return IndexedReader(path, kept, state, store)
    except ValueError:  # kept where PyAV has other decoders
        return PyAVReader(path)


def _look_through(reader: PyAVReader, state: str) -> KeptIndex:
    """What is worth keeping of an opened video."""
    from av import FFmpegError
    plain = KeptIndex(reader.index, reader.num_frames, reader.fps)
    try:
        places = None if reader.index.unreliable_reason else find_packet_locations(reader)
        kept = replace(plain, places=places)
        if kept.places is None:
            return plain
        with IndexedReader(reader.path, kept, state) as indexed:
            same = is_same(indexed.first_frame(), reader.first_frame())
        return kept if same else plain
    except (FFmpegError, OSError, VideoError, NotAsIndexed):  # which the reader will meet itself
        return plain


class IndexedReader(PyAVReader):
    """Reads single frames without opening the container, by what is known of the file.

    Where the decoder contradicts that, or the file is another by now, it is opened as if nothing
    were known.

    Args:
        path: A video file.
        kept: Its index, with places or unreliable.
        state: The :func:`video_state` that the index is of.
        store: Where to note that the index is not to be used.
    """

    def __init__(self, path: str, kept: KeptIndex, state: str,
                 store: IndexStore | None = None) -> None:
        self._kept = kept
        self._state = state
        self._store = store
        self._file: BufferedReader | None = None
        self._opened: PyAVReader | None = None
        super().__init__(path)

    def _open(self) -> None:
        kept = self._kept
        self.index, self.num_frames, self.fps = kept.index, kept.num_frames, kept.fps
        self._keyframes = set(kept.index.keyframes)
        if self.index.unreliable_reason:
            self._say_that_frames_are_counted()
        elif kept.places is not None:
            self.decoder = kept.places.open_decoder()

    def read_packets(self, numbers: Sequence[int] | None = None) -> Iterator[Packet]:
        """The coded packets of these numbers, ascending; all if None."""
        from av import Packet
        places, pts = self._kept.places, self.index.pts
        assert places is not None
        try:
            if self._file is None:
                self._file = BufferedReader(FileIO(self.path), READ_AHEAD)
                if video_state(self._file.fileno()) != self._state:
                    raise NotAsIndexed('the file has changed')
            for i in range(len(pts)) if numbers is None else numbers:
                packet = Packet(places.sizes[i])  # with the room behind it that decoders want
                self._file.seek(places.positions[i])
                if self._file.readinto(packet) < packet.size:
                    raise NotAsIndexed('the file has become shorter')
                packet.pts = pts[i]
                packet.is_keyframe = i in self._keyframes
                yield packet
        except OSError as error:
            raise VideoError(self.path, f'cannot be read ({error.strerror})') from error

    def close(self) -> None:
        for opened in (self._file, self._opened):
            if opened is not None:
                opened.close()

    def _decode(self, wanted: list[int]) -> dict[int, np.ndarray]:
        from av import FFmpegError
        if self.index.unreliable_reason:
            return self._decode_counting(wanted)
        if self._opened is None:
            try:
                return self._decode_indexed(wanted)
            except (NotAsIndexed, FFmpegError):
                self._open_container()
        assert self._opened is not None
        return self._opened._decode(wanted)

    def _open_container(self) -> None:
        """Go on as if nothing were known, now and when the video is opened again."""
        if self._store is not None and video_state(self.path) == self._state:
            self._store.save(self.path, replace(self._kept, places=None), self._state)
        self._opened = PyAVReader(self.path)
        if self._opened.num_frames != self.num_frames:
            raise VideoError(self.path, 'has changed while it was read')
