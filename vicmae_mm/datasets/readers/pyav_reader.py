"""Frame-accurate reading with PyAV: an index of the packets, then only what is needed."""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from .base import VideoError, VideoReader
from .container import decode_all, demux, file_identity, open_container, upright, video_stream
from .messages import warn_once
from .packet_index import PacketIndex

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

# The packets of a file up to this size are kept from indexing to decoding: a minute at 40 Mbit/s.
# Of a larger file only the index is kept, and it is read again to decode.
HELD_BYTES = 300 * 2**20


class NotAsIndexed(Exception):
    """What came out of the decoder is not what the index promised."""


class PyAVReader(VideoReader):
    """Reads single frames out of a video with PyAV, decoding only what they need.

    The packets are read once, without decoding, which tells the frames apart by their time
    stamps. Frames are then decoded from the keyframe they need, leaving out packets that no other
    frame refers to. Where the time stamps can't be trusted, or the decoder contradicts
    them, frames are counted from the start instead: slower, and right by definition.

    Args:
        path: A video file.

    Attributes:
        index: The packets and the frames they hold.
        decoder: libavcodec's decoder, told by the container what there is to know.

    Raises:
        ImportError: PyAV is not installed.
        VideoError: The file can't be opened as a video or holds no frame.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, 0, 0.0)
        self._container: InputContainer | None = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self._container = open_container(self.path)
        stream = video_stream(self._container, self.path)
        self.fps = float(stream.average_rate or stream.guessed_rate or 0)
        self.decoder = stream.codec_context
        packets = demux(self._container, stream, self.path)
        self._packets = list(packets) if os.path.getsize(self.path) <= HELD_BYTES else None
        self.index = PacketIndex.of(packets if self._packets is None else self._packets, stream)
        if not self.index.pts:
            raise VideoError(self.path, 'holds no frames')
        self.num_frames = len(self.index.shown)
        if self.index.unreliable_reason:
            self._say_that_frames_are_counted()
            self.num_frames = count_frames(*file_identity(self.path))
        if not self.num_frames:
            raise VideoError(self.path, 'none of its frames decodes')

    @property
    def turned(self) -> bool:
        """Whether the file asks for its frames to be turned or mirrored."""
        frame = next(decode_all(self.path), None)
        return frame is not None and 'DISPLAYMATRIX' in frame.side_data

    def first_frame(self) -> VideoFrame | None:
        """Frame 0 as decoded, if it does decode; only where the index is reliable."""
        packet = self.index.shown[0]
        frames = self._decode_span(self.index.start_of(packet), packet, {packet})
        return next((frame for frame in frames if frame.pts == self.index.pts[packet]), None)

    def read_packets(self, numbers: Sequence[int] | None = None) -> Iterator[Packet]:
        """The coded packets of these numbers, ascending; all if None."""
        numbers = range(len(self.index.pts)) if numbers is None else numbers
        if self._packets is not None:
            yield from map(self._packets.__getitem__, numbers)
            return
        with open_container(self.path) as container:
            packets = demux(container, video_stream(container, self.path), self.path)
            wanted = set(numbers)
            yield from (packet for i, packet in enumerate(islice(packets, numbers[-1] + 1))
                        if i in wanted)

    def close(self) -> None:
        self._packets = None
        if self._container is not None:
            self._container.close()

    def _say_that_frames_are_counted(self) -> None:
        warn_once(f'{self.index.unreliable_reason}, so frames are counted from the start',
                  self.path)

    def _decode(self, wanted: list[int]) -> dict[int, np.ndarray]:
        from av import FFmpegError
        if not self.index.unreliable_reason:
            try:
                return self._decode_indexed(wanted)
            except (NotAsIndexed, FFmpegError) as error:
                self.index.unreliable_reason = f'the decoder contradicts the time stamps ({error})'
                self._say_that_frames_are_counted()
        return self._decode_counting(wanted)

    def _decode_counting(self, wanted: list[int]) -> dict[int, np.ndarray]:
        """Decode everything from the start up to the last frame wanted."""
        frames: dict[int, np.ndarray] = {}
        targets, decoded = set(wanted), 0
        for frame in decode_all(self.path):
            if decoded in targets:
                frames[decoded] = upright(frame)
            decoded += 1
            if decoded > wanted[-1]:
                return frames
        raise VideoError(self.path, f'frame {wanted[-1]} was asked for, but only {decoded} '
                                    'frames decode')

    def _decode_indexed(self, wanted: list[int]) -> dict[int, np.ndarray]:
        """Decode from keyframes, telling frames by their time stamps."""
        index = self.index
        number_of = {index.pts[index.shown[i]]: i for i in wanted}
        frames: dict[int, np.ndarray] = {}
        for first, last, targets in self._spans(wanted):
            latest: int | None = None
            for frame in self._decode_span(first, last, targets):
                if frame.pts is None or (latest is not None and frame.pts <= latest):
                    raise NotAsIndexed('frames come out in another order')
                if frame.is_corrupt:
                    raise NotAsIndexed('frames come out damaged')
                latest = frame.pts
                if latest in number_of:
                    frames[number_of[latest]] = upright(frame)
        if len(frames) < len(wanted):
            raise NotAsIndexed('frames do not come out')
        return frames

    def _spans(self, wanted: list[int]) -> list[tuple[int, int, set[int]]]:
        """Runs of packets to decode: (first packet, last packet, packets of wanted frames)."""
        spans: list[tuple[int, int, set[int]]] = []
        for packet in sorted(self.index.shown[i] for i in wanted):
            start = self.index.start_of(packet)
            if spans and start <= spans[-1][1]:
                first, _, targets = spans.pop()
                spans.append((min(first, start), packet, targets | {packet}))
            else:
                spans.append((start, packet, {packet}))
        return spans

    def _decode_span(self, first: int, last: int, targets: set[int]) -> Iterator[VideoFrame]:
        """Decode the packets ``first`` to ``last``, but those that ``targets`` do not need."""
        decoder = self.decoder
        if decoder.is_open:
            decoder.flush_buffers()
        needed = [i for i in range(first, last + 1)
                  if i in targets or i not in self.index.disposable]
        for packet in self.read_packets(needed):
            yield from decoder.decode(packet)
        yield from decoder.decode(None)


@lru_cache(maxsize=4096)
def count_frames(path: str, size: int, mtime_ns: int) -> int:
    """How many frames decode, by decoding all; remembered as long as the file is the same."""
    return sum(1 for _ in decode_all(path))
