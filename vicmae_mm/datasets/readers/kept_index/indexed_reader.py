"""Reading with PyAV a video that was scanned before."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BufferedReader, FileIO
from typing import TYPE_CHECKING

import numpy as np

from vicmae_mm.datasets.readers.base import VideoError, is_machines
from vicmae_mm.datasets.readers.pyav_reader import NotAsIndexed, PyAVReader
from vicmae_mm.utils.errors import InputError

from .index_file import KeptIndex
from .index_store import IndexStore, video_state
from .packet_locations import find_packet_locations, is_same

if TYPE_CHECKING:
    from av.packet import Packet

READ_AHEAD = 2**16  # bytes; packets that are decoded together are mostly next to each other


def open_indexed(path: str, store: IndexStore) -> PyAVReader:
    """Open a video with its kept index; if there is none, scan the video and keep its index."""
    # Before the scan: the index of a video that is replaced meanwhile then never matches.
    state = video_state(path)
    kept = store.load(path, state)
    if kept is None:
        reader = PyAVReader(path)
        found = _index_to_keep(reader, state)
        if found is not None:
            store.save(path, found, state)
        return reader
    # Only the container can read its packets; the entry saves trying to locate them again.
    if kept.locations is None and not kept.index.unreliable_reason:
        return PyAVReader(path)
    try:
        return IndexedReader(path, kept, state, store)
    except (InputError, VideoError):  # written by a PyAV with other decoders
        return PyAVReader(path)


def _index_to_keep(reader: PyAVReader, state: str) -> KeptIndex | None:
    """The index; with locations only if they proved to give the same frame; None if it failed."""
    from av import FFmpegError
    plain = KeptIndex(reader.index, reader.num_frames, reader.fps)
    try:
        locations = None if reader.index.unreliable_reason else find_packet_locations(reader)
        kept = replace(plain, locations=locations)
        if kept.locations is None:
            return plain
        with IndexedReader(reader.path, kept, state) as indexed:
            same = is_same(indexed.first_frame(), reader.first_frame())
        return kept if same else plain
    except (FFmpegError, OSError, VideoError, NotAsIndexed) as error:
        # Not reported here: if it concerns the frames wanted, the reader will raise it, too.
        return None if is_machines(error) else plain


class IndexedReader(PyAVReader):
    """Reads single frames without opening the container, with a kept index.

    Opening a container costs more than decoding the few packets between two close keyframes. If
    the decoder contradicts the index, or the file has changed, the container is opened after all.

    Args:
        kept: The index, with locations or unreliable.
        state: The :func:`video_state` that the index belongs to.
        store: Where to record that the index must not be used.
    """

    def __init__(self, path: str, kept: KeptIndex, state: str,
                 store: IndexStore | None = None) -> None:
        self._kept = kept
        self._state = state
        self._store = store
        self._file: BufferedReader | None = None
        self._fallback: PyAVReader | None = None
        super().__init__(path)

    def _open(self) -> None:
        kept = self._kept
        self.index, self.num_frames, self.fps = kept.index, kept.num_frames, kept.fps
        self._keyframes = set(kept.index.keyframes)
        if self.index.unreliable_reason:
            self._warn_that_frames_are_counted()
        elif kept.locations is not None:
            self.decoder = kept.locations.open_decoder()

    def read_packets(self, numbers: Sequence[int] | None = None) -> Iterator[Packet]:
        from av import Packet
        locations, pts = self._kept.locations, self.index.pts
        assert locations is not None
        try:
            if self._file is None:
                self._file = BufferedReader(FileIO(self.path), READ_AHEAD)
                # State of the open file: the path may name a different one by now.
                if video_state(self._file.fileno()) != self._state:
                    raise NotAsIndexed('the file has changed')
            for i in range(len(pts)) if numbers is None else numbers:
                # The packet allocates the padding after the data that decoders read into.
                packet = Packet(locations.sizes[i])
                self._file.seek(locations.positions[i])
                if self._file.readinto(packet) < packet.size:
                    raise NotAsIndexed('the file has become shorter')
                packet.pts = pts[i]
                packet.is_keyframe = i in self._keyframes
                yield packet
        except FileNotFoundError as error:
            raise VideoError(self.path, f'cannot be read ({error.strerror})') from error

    def _find_times(self) -> np.ndarray:
        with PyAVReader(self.path) as reader:
            return reader.frame_times

    def close(self) -> None:
        super().close()
        for opened in (self._file, self._fallback):
            if opened is not None:
                opened.close()

    def _decode(self, wanted: list[int]) -> dict[int, np.ndarray]:
        from av import FFmpegError
        if self.index.unreliable_reason:
            return self._decode_counting(wanted)
        if self._fallback is None:
            try:
                return self._decode_indexed(wanted)
            except (NotAsIndexed, FFmpegError) as error:
                if is_machines(error):
                    raise
                self._open_container()
            except OSError:
                self._fallback = PyAVReader(self.path)  # which tries again
        assert self._fallback is not None
        return self._fallback._decode(wanted)

    def _open_container(self) -> None:
        """Stop using the locations, now and when the video is opened again."""
        # If the file has changed, its next opening notices, and makes a new index.
        if self._store is not None and video_state(self.path) == self._state:
            self._store.save(self.path, replace(self._kept, locations=None), self._state)
        self._fallback = PyAVReader(self.path)
        # The frame numbers were chosen using the old number of frames.
        if self._fallback.num_frames != self.num_frames:
            raise VideoError(self.path, 'changed while it was being read')
