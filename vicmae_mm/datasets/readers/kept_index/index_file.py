"""What is kept of a video that was scanned once, and its file format, which is safetensors."""
from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from safetensors.numpy import save

from vicmae_mm.datasets.readers.packet_index import PacketIndex
from vicmae_mm.utils.cache_folder import mark_used
from vicmae_mm.utils.errors import InputError

from .packet_locations import DECODER_SETTINGS, StreamDecoder

FORMAT = 4
KEYFRAME, HIDDEN, DISPOSABLE = 1, 2, 4  # bits of ``kind``
OF_PACKETS = {'kind': np.uint8, 'position': np.int64, 'pts': np.int64, 'size': np.int32}
SMALL = 'blocks', 'extradata', 'header'
BLOCK = 512  # packets at least, except in a shorter video
MAX_REORDER_DEPTH = 16  # of any codec here; libavcodec aborts the process above it
MAX_SETTING = 2**16
# What a damaged or forged file can cause; RecursionError by deeply nested JSON.
DAMAGE = (LookupError, TypeError, ValueError, OverflowError, RecursionError)
# The types of safetensors that occur here; it stores little-endian numbers.
TYPES = {'U8': '<u1', 'U32': '<u4', 'I32': '<i4', 'I64': '<i8', 'F64': '<f8'}


@dataclass(frozen=True)
class PacketBlock:
    """Consecutive packets that decode without any others, and their frames, likewise."""
    first: int  # number of its first frame
    end: int  # number of the frame after its last one
    index: PacketIndex  # of its packets and frames, which are numbered from 0 here
    positions: np.ndarray  # of each packet in the file
    sizes: np.ndarray  # of each packet, in bytes


@dataclass
class KeptIndex:
    """Everything learnt by opening a video; read block by block, however long the video is."""
    num_frames: int  # counted if the index is unreliable
    fps: float  # average; 0.0 if the file does not say
    unreliable_reason: str = ''  # as of PacketIndex
    decoder: StreamDecoder | None = None  # of its packets; None if only the container reads them
    # ``times``, ``blocks`` (first packet and frame of each, and totals), and ``OF_PACKETS``, if any
    arrays: dict[str, np.ndarray] = field(default_factory=lambda: dict(times=np.zeros(0)))
    file_size: int = 0  # bytes of the video

    # The keys in the header ('of', 'doubt', 'places', ...) and the names of the arrays are those of
    # existing files: renaming one means a new FORMAT, and indexing every video again.
    def to_bytes(self, of: str) -> bytes:
        """The content of a file; ``of`` is the state of the video when it was scanned."""
        header: dict[str, Any] = dict(of=of, doubt=self.unreliable_reason,
                                      num_frames=self.num_frames, fps=self.fps)
        arrays = {name: array for name, array in self.arrays.items()
                  if name not in ('checksum', 'extradata', 'header')}
        if self.decoder is not None:
            header['places'] = asdict(self.decoder)
            arrays['extradata'] = np.frombuffer(header['places'].pop('extradata'), np.uint8)
        arrays['header'] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        return save(arrays | {'checksum': np.array(_checksums(arrays), np.uint32)})

    @classmethod
    def read(cls, path: str, of: str, file_size: int) -> KeptIndex | None:
        """Read a file; None if it belongs to another state, or is damaged.

        Blocks and times are checked when they are used; checksums of a short video, at once.
        Whatever the file contains, a reader stays within the ``file_size`` bytes of the video, and
        the decoder does nothing that a video could not make it do. It is an OSError if the file is
        missing or cannot be read.
        """
        try:
            arrays, state = _read_arrays(path)
            is_short = len(arrays.get('blocks', ())) <= 2
            found = {name: array for name, array in arrays.items()
                     if name in SMALL or (is_short and name != 'checksum')}
            expected = arrays['checksum'].tolist()
            _require(_checksums(found) == expected if is_short else _crc(found) == expected[0])
            header = json.loads(arrays['header'].tobytes())
            if header['of'] != of:
                return None
            kept = cls(int(header['num_frames']), float(header['fps']), str(header['doubt']),
                       arrays=arrays, file_size=file_size)
            _require(kept.num_frames > 0)
            if 'places' in header:
                kept.decoder = _read_decoder(arrays['extradata'].tobytes(), header['places'])
                _check_blocks(arrays['blocks'], len(arrays['pts']), kept.num_frames)
        except DAMAGE:
            return None
        mark_used(path, state.st_mtime)
        return kept

    def times(self) -> np.ndarray:
        """The reader's ``frame_times``; empty if the container must be opened for them.

        If they are damaged, it is a ValueError, as below.
        """
        times = self.arrays['times']
        _require(_crc({'times': times}) == self.arrays['checksum'][1]
                 and times.dtype == np.float64 and times.shape in ((0, ), (self.num_frames, ))
                 and not times[:1].any() and (times[1:] >= times[:-1]).all())
        return times

    def block_with(self, frame: int) -> PacketBlock:
        """The block that has a frame."""
        blocks = self.arrays['blocks']
        try:
            block = self._read_block(int(blocks[:, 1].searchsorted(frame, 'right')) - 1, blocks)
            _require(block.first <= frame < block.end)
        except DAMAGE as error:
            raise InputError('not a valid index of a video') from error
        return block

    def _read_block(self, number: int, blocks: np.ndarray) -> PacketBlock:
        (begin, first), (stop, end) = blocks[number:number + 2].tolist()
        _require(0 <= begin < stop)
        arrays = {name: self.arrays[name][begin:stop] for name in OF_PACKETS}
        _require(all(arrays[name].dtype == kind and arrays[name].shape == (stop - begin, )
                     for name, kind in OF_PACKETS.items()))
        if 'checksum' in self.arrays:
            _require(_crc(arrays) == self.arrays['checksum'][2 + number])
        pts, kind, position, size = (arrays[name] for name in ('pts', 'kind', 'position', 'size'))
        # The third condition keeps the sum in the last one from overflowing.
        _require(not ((position < 0) | (size <= 0) | (position >= self.file_size)
                      | (position + size > self.file_size)).any())
        shown = pts.argsort()
        if edited := end - first < stop - begin:
            shown = shown[kind[shown] & HIDDEN == 0]
        # ``PacketIndex.start_of`` searches backwards for a keyframe: there must be one.
        _require(len(shown) == end - first and kind[0] & KEYFRAME and pts[0] <= pts[shown[0]])
        return PacketBlock(first, end, PacketIndex(
            pts=pts.tolist(), keyframes=(kind & KEYFRAME).nonzero()[0].tolist(),
            shown=shown.tolist(), disposable=set((kind & DISPOSABLE).nonzero()[0].tolist()),
            edited=edited), position, size)


def _read_arrays(path: str) -> tuple[dict[str, np.ndarray], os.stat_result]:
    """The arrays in a file, and its state. Half the time that safetensors takes for such a file."""
    # A mapped file would kill the process where the disk fails.
    with open(path, 'rb', buffering=0) as file:
        state, data = os.fstat(file.fileno()), file.read()
    begin, arrays = 8 + int.from_bytes(data[:8], 'little'), {}
    for name, entry in dict(json.loads(data[8:begin])).items():
        first, end = entry['data_offsets']
        arrays[name] = np.ndarray(entry['shape'], TYPES[entry['dtype']], data, begin + first)
        _require(arrays[name].nbytes == end - first)
    return arrays, state


def arrays_to_keep(index: PacketIndex, positions: list[int], sizes: list[int],
                   times: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of a reliable index, with the location of each packet."""
    pts, kind = np.array(index.pts, np.int64), np.full(len(index.pts), HIDDEN, np.uint8)
    kind[index.shown] = 0
    kind[index.keyframes] |= KEYFRAME
    kind[list(index.disposable)] |= DISPOSABLE
    # A block begins with a keyframe before which all that precedes it is shown, and after which
    # all that follows: then ``PacketIndex.start_of`` stays within the block.
    earlier = np.maximum.accumulate(pts)
    later = np.minimum.accumulate(pts[::-1])[::-1]
    firsts = [0]
    for packet in index.keyframes:
        if packet - firsts[-1] >= BLOCK and earlier[packet - 1] < pts[packet] == later[packet]:
            firsts.append(packet)
    firsts.append(len(pts))
    frames = np.append(0, (kind & HIDDEN == 0).cumsum())
    return dict(
        pts=pts, kind=kind, position=np.array(positions, np.int64), size=np.array(sizes, np.int32),
        blocks=np.stack([np.array(firsts), frames[firsts]], 1), times=times)


def _crc(arrays: Mapping[str, np.ndarray]) -> int:
    # Against damage only: a forged file can have a valid one, so values are checked as well.
    value = 0
    for name in sorted(arrays):
        value = zlib.crc32(arrays[name].data, value)
    return value


def _checksums(arrays: Mapping[str, np.ndarray]) -> list[int]:
    """Checksums of what is always read, of the times, and of each block."""
    small = {name: array for name, array in arrays.items() if name not in ('times', *OF_PACKETS)}
    edges = arrays['blocks'][:, 0].tolist() if 'blocks' in arrays else ()
    return [_crc(small), _crc({'times': arrays.get('times', np.zeros(0))})] + [
        _crc({name: arrays[name][a:b] for name in OF_PACKETS if name in arrays})
        for a, b in pairwise(edges)]


def _check_blocks(blocks: np.ndarray, num_packets: int, num_frames: int) -> None:
    _require(blocks.dtype == np.int64 and blocks.shape[1:] == (2, ) and len(blocks) > 1
             and blocks[0].tolist() == [0, 0] and blocks[-1].tolist() == [num_packets, num_frames])


def _read_decoder(extradata: bytes, header: dict[str, Any]) -> StreamDecoder:
    settings = header['settings']
    numbers = [settings[name] for name in DECODER_SETTINGS if name != 'codec_tag']
    _require(isinstance(header['decoder'], str) and isinstance(settings['codec_tag'], str)
             and all(type(number) is int and 0 <= number < MAX_SETTING for number in numbers)
             and settings['reorder_depth'] <= MAX_REORDER_DEPTH)
    return StreamDecoder(extradata=extradata, **header)


def _require(condition: Any) -> None:
    if not condition:
        raise InputError('not a valid index of a video')
