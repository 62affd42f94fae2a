"""Frame-accurate reading with PyAV: an index of the packets, then only what is needed."""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from vicmae_mm.utils.file_state import file_state

from .base import VideoError, VideoReader, is_machines, naming_file
from .container import decode_all, demux, open_container, upright, video_stream
from .messages import warn_once
from .packet_index import PacketIndex
from .presentation_times import seconds_from_ticks

if TYPE_CHECKING:
    from av import Packet, VideoFrame

# The packets of a file up to this size (a minute at 40 Mbit/s) are held from indexing to decoding.
# Of a larger file, only the index is held, and the packets are read again to decode.
HELD_BYTES = 300 * 2**20
TS_DISCONT = 0x200  # libavformat's AVFMT_TS_DISCONT: the clock of the format may jump
# Damage is concealed as in a decode from the start, for requests that need at most so many packets
# from there; further on, it is an error.
MOST_CONCEALED = 10_000
STRICT = {'err_detect': 'explode'}  # of libavcodec: errors, rather than concealed damage


class NotAsIndexed(Exception):
    """The decoder returned other frames than the index promises."""


class DamagedFrames(NotAsIndexed):
    """It lacks some of them, or they are damaged: no others."""


class PyAVReader(VideoReader):
    """Reads single frames of a video with PyAV, decoding only what they need.

    The packets are first read without decoding, to identify frames by their time stamps. If these
    are unreliable, or the decoder contradicts them, frames are counted from the start instead:
    slower, but correct by definition.
    """
    contradiction = ''  # how the decoder contradicted the index

    def __init__(self, path: str) -> None:
        super().__init__(path, 0, 0.0)
        self.most_concealed = MOST_CONCEALED  # or 0 if all damage is to be an error
        self._stack = ExitStack()
        self._counted: Iterator[tuple[int, VideoFrame]] = iter(())
        self._next = 0  # the frame that ``_counted`` comes to next; 0: start again
        try:
            with naming_file(path, 'cannot be opened'):
                self._open()
        except BaseException:
            self.close()  # or the file stays open as long as somebody keeps the exception
            raise

    def _open(self) -> None:
        container = self._stack.enter_context(open_container(self.path))
        self.stream = video_stream(container, self.path)
        self.fps = float(self.stream.average_rate or self.stream.guessed_rate or 0)
        self.decoder = self.stream.codec_context  # with the settings of the container
        time_base = self.stream.time_base or Fraction(1)
        # PyAV 19 has a type of its own.
        self._time_base = Fraction(time_base.numerator, time_base.denominator)
        self._restarts = bool(container.format.flags & TS_DISCONT)
        packets = demux(container, self.stream, self.path)
        self._packets = list(packets) if os.path.getsize(self.path) <= HELD_BYTES else None
        self.index = PacketIndex.of(packets if self._packets is None else self._packets,
                                    self.stream)
        if not self.index.pts:
            raise VideoError(self.path, 'holds no frames')
        self.num_frames = len(self.index.shown)
        # Parameter sets of HEVC are mostly not in its packets, so the index does not see that clips
        # with different ones were joined: then some packets decode to nothing.
        if self.decoder.codec.canonical_name == 'hevc' and not self.index.unreliable_reason and (
                count_frames(self.path, *file_state(self.path), **STRICT) != self.num_frames):
            self.index.unreliable_reason = 'packets are damaged or lack their parameter sets'
        self._counts = bool(self.index.unreliable_reason)
        if self._counts:
            self._warn_that_frames_are_counted(self.index.unreliable_reason)
            self.num_frames = count_frames(self.path, *file_state(self.path))
        if not self.num_frames:
            raise VideoError(self.path, 'none of its frames decodes')

    @property
    def rotated(self) -> bool:
        """Whether the file specifies that its frames are rotated or mirrored."""
        frame = next(decode_all(self.path), None)
        return frame is not None and 'DISPLAYMATRIX' in frame.side_data

    def first_frame(self) -> VideoFrame | None:
        """Frame 0, or None if it cannot be decoded; only if the index is reliable."""
        frames = self._decode_span(*self._spans([0]))
        return next((frame for frame in frames
                     if frame.pts == self.index.pts[self.index.shown[0]]), None)

    def read_packets(self, numbers: Sequence[int] | None = None) -> Iterator[Packet]:
        """The coded packets with these numbers, which are ascending; all if None."""
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
        self._counted = iter(())
        self._stack.close()

    def _find_times(self) -> np.ndarray:
        ticks = (decoded_ticks(self.path, *file_state(self.path)) if self._counts else
                 np.array(self.index.pts, float)[self.index.shown])
        return seconds_from_ticks(ticks, self._time_base, self.fps, self._restarts)

    def _warn_that_frames_are_counted(self, reason: str) -> None:
        warn_once(f'{reason}, so frames are counted from the start', self.path)

    def _decode(self, wanted: list[int]) -> dict[int, np.ndarray]:
        from av import FFmpegError
        if not self.index.unreliable_reason:
            try:
                return self._decode_indexed(wanted)
            except (NotAsIndexed, FFmpegError) as error:
                if is_machines(error):
                    raise
                self.contradiction = f'the decoder contradicts the time stamps ({error})'
                if not isinstance(error, (DamagedFrames, FFmpegError)):
                    self.index.unreliable_reason = self.contradiction
                elif self.index.shown[wanted[-1]] >= self.most_concealed:
                    text = getattr(error, 'strerror', error)
                    raise VideoError(self.path, f'frames {wanted[0]} to {wanted[-1]} do not all '
                                     f'decode ({text})') from error
                self._warn_that_frames_are_counted(self.contradiction)
        return self._decode_counting(wanted)

    def decode_in_order(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """Frames with ascending numbers, by one decode of all; of a closed reader, too."""
        with naming_file(self.path, 'cannot be decoded'):
            for number in numbers:
                yield self._decode_counting([number])[number]

    def _decode_counting(self, wanted: list[int]) -> dict[int, np.ndarray]:
        """Decode everything up to the last frame wanted, from where the last request ended."""
        decoded, self._next = self._next, 0
        if not 0 < decoded <= wanted[0]:
            decoded, self._counted = 0, enumerate(decode_all(self.path), 1)
        frames: dict[int, np.ndarray] = {}
        targets = set(wanted)
        for decoded, frame in self._counted:
            if decoded - 1 in targets:
                frames[decoded - 1] = upright(frame)
            if decoded > wanted[-1]:
                self._next = decoded
                return frames
        raise VideoError(
            self.path, f'frame {wanted[-1]} was requested, but only {decoded} frames decode')

    def _decode_indexed(self, wanted: list[int]) -> dict[int, np.ndarray]:
        """Decode from keyframes, identifying frames by their time stamps."""
        index = self.index
        number_of = {index.pts[packet]: number for number, packet in enumerate(index.shown)}
        frames: dict[int, np.ndarray] = {}
        for packets in self._spans(wanted):
            times = [index.pts[i] for i in packets]
            # Not those that lead an open GOP or that an edit list hides: they may come out or not.
            expected = sorted({number_of[time] for time in times
                               if time >= times[0] and time in number_of})
            numbers: list[int] = []
            for frame in self._decode_span(packets):
                # How damage is concealed depends on the frames decoded before.
                if frame.is_corrupt:
                    raise DamagedFrames('frames come out damaged')
                if frame.pts in number_of and frame.pts >= times[0]:
                    numbers.append(number_of[frame.pts])
                    if numbers[-1] in wanted:
                        frames[numbers[-1]] = upright(frame)
            # Decoders return frames in presentation order: other time stamps cannot be true.
            if numbers != expected and numbers == sorted(set(numbers).intersection(expected)):
                raise DamagedFrames('frames are missing')
            if numbers != expected:
                raise NotAsIndexed('other frames come out, or in a different order')
        return frames

    def _spans(self, wanted: list[int]) -> list[list[int]]:
        """Runs of packets to decode, without those that the wanted frames do not need."""
        spans: list[tuple[int, int]] = []
        targets = sorted(self.index.shown[i] for i in wanted)
        for packet in targets:
            start = self.index.start_of(packet)
            # Continue a span rather than decode packets twice.
            if spans and start <= spans[-1][1]:
                start = min(spans.pop()[0], start)
            spans.append((start, packet))
        unneeded = self.index.disposable.difference(targets)
        return [[i for i in range(first, last + 1) if i not in unneeded] for first, last in spans]

    def _decode_span(self, packets: list[int]) -> Iterator[VideoFrame]:
        """Decode the packets with these numbers."""
        decoder = self.decoder
        # A decoder that was drained (below) takes packets again only after a flush, which also
        # makes it forget the previous span.
        if decoder.is_open:
            decoder.flush_buffers()
        else:
            decoder.options = STRICT
        for packet in self.read_packets(packets):
            yield from decoder.decode(packet)
        yield from decoder.decode(None)  # the frames held back for reordering


# The file's state is an argument so that a changed file is counted again.
@lru_cache(maxsize=4096)
def count_frames(path: str, size: int | None, mtime_ns: int | None, **options: str) -> int:
    """How many frames a decoder with these options returns undamaged, or, without any, at all."""
    if not options:
        return len(decoded_ticks(path, size, mtime_ns))
    return sum(not frame.is_corrupt for frame in decode_all(path, **options))


# Few are held: an hour has a megabyte of them.
@lru_cache(maxsize=4)
def decoded_ticks(path: str, size: int | None, mtime_ns: int | None) -> np.ndarray:
    """The time stamps of all frames that decode, in their order; NaN for those without one."""
    return np.array([frame.pts for frame in decode_all(path)], float)
