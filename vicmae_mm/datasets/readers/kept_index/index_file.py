"""What is kept of a video that was scanned once, and its file format, which is safetensors."""
from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vicmae_mm.datasets.readers.packet_index import PacketIndex
from vicmae_mm.utils.errors import InputError

from .packet_locations import DECODER_SETTINGS, PacketLocations

FORMAT = 3
KEYFRAME, HIDDEN, DISPOSABLE = 1, 2, 4  # bits of ``kind``
MAX_REORDER_DEPTH = 16  # of any codec here; libavcodec aborts the process above it
MAX_SETTING = 2**16


@dataclass
class KeptIndex:
    """Everything learnt by opening a video.

    Attributes:
        index: Its packets and frames; only ``unreliable_reason`` is kept if there is one.
        num_frames: Number of frames, counted if the index is unreliable.
        fps: Average frames per second; 0.0 if the file does not say.
        locations: Where its packets are; None if only the container can read them.
    """
    index: PacketIndex
    num_frames: int
    fps: float
    locations: PacketLocations | None = None

    # The keys in the header ('of', 'doubt', 'places', ...) and the names of the arrays are those of
    # existing files: renaming one means a new FORMAT, and indexing every video again.
    def to_bytes(self, of: str) -> bytes:
        """The content of a file; ``of`` is the state of the video when it was scanned."""
        header: dict[str, Any] = dict(of=of, doubt=self.index.unreliable_reason,
                                      num_frames=self.num_frames, fps=self.fps)
        arrays = {}
        if self.locations is not None and not self.index.unreliable_reason:
            locations = asdict(self.locations)
            arrays = dict(
                pts=np.array(self.index.pts, np.int64), kind=_kinds(self.index),
                position=np.array(locations.pop('positions'), np.int64),
                size=np.array(locations.pop('sizes'), np.int32),
                extradata=np.frombuffer(locations.pop('extradata'), np.uint8))
            header['places'] = locations
        arrays['header'] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        return save(arrays | {'checksum': _checksum(arrays)})

    @classmethod
    def from_bytes(cls, data: bytes, of: str, file_size: int) -> KeptIndex | None:
        """Read the content of a file; None if it belongs to another state, or is damaged.

        Whatever the file contains, a reader stays within the ``file_size`` bytes of the video, and
        the decoder does nothing that a video could not make it do.
        """
        try:
            arrays = load(data)
            if not np.array_equal(arrays.pop('checksum'), _checksum(arrays)):
                return None
            header = json.loads(arrays['header'].tobytes())
            if header['of'] != of:
                return None
            num_frames, fps = int(header['num_frames']), float(header['fps'])
            index, locations = PacketIndex(unreliable_reason=str(header['doubt'])), None
            if 'places' in header:
                index = _read_index(arrays, num_frames)
                locations = _read_locations(arrays, header['places'], file_size)
        # What a damaged or forged file can cause; RecursionError by deeply nested JSON.
        except (SafetensorError, LookupError, TypeError, ValueError, OverflowError,
                RecursionError):
            return None
        return cls(index, num_frames, fps, locations) if num_frames > 0 else None


def _checksum(arrays: dict[str, np.ndarray]) -> np.ndarray:
    # Against damage only: a forged file can have a valid one, so values are checked as well.
    value = 0
    for name in sorted(arrays):
        value = zlib.crc32(arrays[name].tobytes(), value)
    return np.array([value], np.uint32)


def _kinds(index: PacketIndex) -> np.ndarray:
    kind = np.full(len(index.pts), HIDDEN, np.uint8)
    kind[index.shown] = 0
    kind[index.keyframes] |= KEYFRAME
    kind[list(index.disposable)] |= DISPOSABLE
    return kind


def _read_index(arrays: dict[str, np.ndarray], num_frames: int) -> PacketIndex:
    pts, kind = arrays['pts'], arrays['kind']
    _require(pts.dtype == np.int64 and kind.dtype == np.uint8 and pts.ndim == 1
             and pts.shape == kind.shape)
    shown = np.flatnonzero(kind & HIDDEN == 0)
    shown = shown[np.argsort(pts[shown])]
    # ``PacketIndex.start_of`` searches backwards for a keyframe: there must be one.
    _require(len(shown) == num_frames and kind[0] & KEYFRAME and pts[0] <= pts[shown[0]])
    return PacketIndex(
        pts=pts.tolist(), keyframes=np.flatnonzero(kind & KEYFRAME).tolist(),
        shown=shown.tolist(), disposable=set(np.flatnonzero(kind & DISPOSABLE).tolist()),
        edited=num_frames < len(pts))


def _read_locations(arrays: dict[str, np.ndarray], header: dict[str, Any],
                    file_size: int) -> PacketLocations:
    position, size = arrays['position'], arrays['size']
    _require(position.dtype == np.int64 and size.dtype == np.int32
             and position.shape == size.shape == arrays['pts'].shape)
    # The first bound keeps the sum of the last one from overflowing.
    _require(position.min() >= 0 and size.min() > 0
             and position.max() < file_size and (position + size).max() <= file_size)
    settings = header['settings']
    numbers = [settings[name] for name in DECODER_SETTINGS if name != 'codec_tag']
    _require(isinstance(header['decoder'], str) and isinstance(settings['codec_tag'], str)
             and all(type(number) is int and 0 <= number < MAX_SETTING for number in numbers)
             and settings['reorder_depth'] <= MAX_REORDER_DEPTH)
    return PacketLocations(
        position.tolist(), size.tolist(), extradata=arrays['extradata'].tobytes(), **header)


def _require(condition: Any) -> None:
    if not condition:
        raise InputError('not a valid index of a video')
