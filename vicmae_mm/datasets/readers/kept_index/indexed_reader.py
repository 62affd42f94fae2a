"""Reading with PyAV a video that was scanned before."""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BufferedReader, FileIO
from typing import TYPE_CHECKING

import numpy as np

from vicmae_mm.datasets.readers.base import VideoError, is_machines
from vicmae_mm.datasets.readers.packet_index import PacketIndex
from vicmae_mm.datasets.readers.pyav_reader import NotAsIndexed, PyAVReader
from vicmae_mm.utils.errors import InputError

from .index_file import KeptIndex, PacketBlock, arrays_to_keep
from .index_store import IndexStore, video_state
from .packet_locations import StreamDecoder, find_packet_locations, is_same

if TYPE_CHECKING:
    from av import Packet, VideoFrame

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
    if kept.decoder is None and not kept.unreliable_reason:
        return PyAVReader(path)
    try:
        return IndexedReader(path, kept, state, store)
    except (InputError, VideoError):  # written by a PyAV with other decoders
        return PyAVReader(path)


def _index_to_keep(reader: PyAVReader, state: str) -> KeptIndex | None:
    """The index; with locations only if they proved to give the same frame; None if it failed."""
    from av import FFmpegError
    plain = KeptIndex(reader.num_frames, reader.fps, reader.index.unreliable_reason)
    try:
        if plain.unreliable_reason:
            return replace(plain, arrays=dict(times=reader.frame_times))
        locations = find_packet_locations(reader)
        if locations is None:
            return plain
        kept = replace(plain, decoder=StreamDecoder.of(reader.decoder), arrays=arrays_to_keep(
            reader.index, *locations, reader.frame_times), file_size=os.path.getsize(reader.path))
        with IndexedReader(reader.path, kept, state) as indexed:
            same = is_same(indexed.first_frame(), reader.first_frame())
        return kept if same else plain
    except (FFmpegError, OSError, VideoError, NotAsIndexed, InputError) as error:
        # Not reported here: if it concerns the frames wanted, the reader will raise it, too.
        return None if is_machines(error) else plain


class IndexedReader(PyAVReader):
    """Reads single frames without opening the container, with a kept index.

    Opening a container costs more than decoding the few packets between two close keyframes. If
    the decoder contradicts the index, or the file has changed, the container is opened after all.
    The ``kept`` index has locations or is unreliable; it belongs to the :func:`video_state`
    ``state``. That it must not be used is recorded in ``store``.
    """

    def __init__(self, path: str, kept: KeptIndex, state: str,
                 store: IndexStore | None = None) -> None:
        self._kept = kept
        self._state = state
        self._store = store
        self._file: BufferedReader | None = None
        self._fallback: PyAVReader | None = None
        self._block: PacketBlock | None = None  # of the frames last read
        super().__init__(path)

    def _open(self) -> None:
        kept = self._kept
        self.num_frames, self.fps = kept.num_frames, kept.fps
        self.index = PacketIndex(unreliable_reason=kept.unreliable_reason)
        if kept.unreliable_reason:
            self._warn_that_frames_are_counted(kept.unreliable_reason)
        elif kept.decoder is not None:
            self.decoder = kept.decoder.open()

    def first_frame(self) -> VideoFrame | None:
        self._use_block(0)
        return super().first_frame()

    def _use_block(self, frame: int) -> PacketBlock:
        if self._block is None or not self._block.first <= frame < self._block.end:
            self._block = self._kept.block_with(frame)
        self.index = self._block.index
        return self._block

    def _decode_indexed(self, wanted: list[int]) -> dict[int, np.ndarray]:
        frames: dict[int, np.ndarray] = {}
        while wanted:
            block = self._use_block(wanted[0])
            numbers = [i - block.first for i in wanted if i < block.end]
            frames |= {block.first + number: frame
                       for number, frame in super()._decode_indexed(numbers).items()}
            wanted = wanted[len(numbers):]
        return frames

    def read_packets(self, numbers: Sequence[int] | None = None) -> Iterator[Packet]:
        """Those of the block of :attr:`index`, which is that of the frames last read."""
        from av import Packet
        block = self._block or self._use_block(0)
        pts, keyframes = block.index.pts, {*block.index.keyframes}
        numbers = list(range(len(pts)) if numbers is None else numbers)
        places = zip(numbers, block.positions[numbers].tolist(), block.sizes[numbers].tolist(),
                     strict=True)
        try:
            if self._file is None:
                self._file = BufferedReader(FileIO(self.path), READ_AHEAD)
                # State of the open file: the path may name a different one by now.
                if video_state(self._file.fileno()) != self._state:
                    raise NotAsIndexed('the file has changed')
            for i, position, size in places:
                # The packet allocates the padding after the data that decoders read into.
                packet = Packet(size)
                self._file.seek(position)
                if self._file.readinto(packet) < size:
                    raise NotAsIndexed('the file has become shorter')
                packet.pts = pts[i]
                packet.is_keyframe = i in keyframes
                yield packet
        except FileNotFoundError as error:
            raise VideoError(self.path, f'cannot be read ({error.strerror})') from error

    def _find_times(self) -> np.ndarray:
        try:
            times = self._kept.times()
            if len(times):
                return times
        except InputError:
            self._drop_index()
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
            contradicted = False
            try:
                return self._decode_indexed(wanted)
            except InputError:
                self._drop_index()
            except (NotAsIndexed, FFmpegError) as error:
                if is_machines(error):
                    raise
                contradicted = True
            except OSError:
                pass  # the container tries again
            self._fallback = PyAVReader(self.path)
            # The frame numbers were chosen using the old number of frames.
            if self._fallback.num_frames != self.num_frames:
                raise VideoError(self.path, 'changed while it was being read')
            frames = self._fallback._decode(wanted)
            # The container knew better: the locations are not used when the video is opened again.
            # Otherwise the file is damaged there, or has changed, which its next opening notices.
            if (contradicted and self._store is not None
                    and not self._fallback.contradiction
                    and video_state(self.path) == self._state):
                self._store.save(self.path, KeptIndex(self.num_frames, self.fps), self._state)
            return frames
        return self._fallback._decode(wanted)

    def _drop_index(self) -> None:
        """The index is damaged: the next opening makes a new one."""
        if self._store is not None:
            self._store.drop(self.path)
