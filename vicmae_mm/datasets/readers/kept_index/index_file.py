"""What is kept of a video once it has been looked through, and its form in a file.

The form is that of safetensors: plain arrays, which hold no code that reading could execute.
"""
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

FORMAT = 1
KEYFRAME, HIDDEN, DISPOSABLE = 1, 2, 4  # bits of ``kind``
MAX_REORDER_DEPTH = 16  # of any codec here; libavcodec aborts the process over more
MAX_SETTING = 2**16


@dataclass
class KeptIndex:
    """All that opening a video finds out.

    Attributes:
        index: Its packets and frames; only ``unreliable_reason`` is kept where there is one.
        num_frames: How many frames it has, counted where the index is unreliable.
        fps: Average frames a second; 0.0 where the file does not say.
        places: Where its packets lie; None where only the container can get them.
    """
    index: PacketIndex
    num_frames: int
    fps: float
    places: PacketLocations | None = None

    def to_bytes(self, of: str) -> bytes:
        """The content of a file.

        Args:
            of: The state of the video that this was found out in.
        """
        header: dict[str, Any] = dict(of=of, doubt=self.index.unreliable_reason,
                                      num_frames=self.num_frames, fps=self.fps)
        arrays = {}
        if self.places is not None and not self.index.unreliable_reason:
            places = asdict(self.places)
            arrays = dict(
                pts=np.array(self.index.pts, np.int64), kind=_kinds(self.index),
                position=np.array(places.pop('positions'), np.int64),
                size=np.array(places.pop('sizes'), np.int32),
                extradata=np.frombuffer(places.pop('extradata'), np.uint8))
            header['places'] = places
        arrays['header'] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        return save(arrays | {'checksum': _checksum(arrays)})

    @classmethod
    def from_bytes(cls, data: bytes, of: str, file_size: int) -> KeptIndex | None:
        """The index in a file; None if it is of another state of the video, or damaged.

        Nothing that the file can hold makes a reader look outside the ``file_size`` bytes of the
        video, or the decoder do what a video could not make it do.
        """
        try:
            arrays = load(data)
            if not np.array_equal(arrays.pop('checksum'), _checksum(arrays)):
                return None
            header = json.loads(arrays['header'].tobytes())
            if header['of'] != of:
                return None
            num_frames, fps = int(header['num_frames']), float(header['fps'])
            index, places = PacketIndex(unreliable_reason=str(header['doubt'])), None
            if 'places' in header:
                index = _read_index(arrays, num_frames)
                places = _read_places(arrays, header['places'], file_size)
        except (SafetensorError, LookupError, TypeError, ValueError, OverflowError,
                RecursionError):
            return None
        return cls(index, num_frames, fps, places) if num_frames > 0 else None


def _checksum(arrays: dict[str, np.ndarray]) -> np.ndarray:
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
    """The index, such that decoding always finds a keyframe to start from."""
    pts, kind = arrays['pts'], arrays['kind']
    _require(pts.dtype == np.int64 and kind.dtype == np.uint8 and pts.ndim == 1
             and pts.shape == kind.shape)
    shown = np.flatnonzero(kind & HIDDEN == 0)
    shown = shown[np.argsort(pts[shown])]
    _require(len(shown) == num_frames and kind[0] & KEYFRAME and pts[0] <= pts[shown[0]])
    return PacketIndex(
        pts=pts.tolist(), keyframes=np.flatnonzero(kind & KEYFRAME).tolist(),
        shown=shown.tolist(), disposable=set(np.flatnonzero(kind & DISPOSABLE).tolist()),
        edited=num_frames < len(pts))


def _read_places(arrays: dict[str, np.ndarray], header: dict[str, Any],
                 file_size: int) -> PacketLocations:
    """The places, all of them in the file."""
    position, size = arrays['position'], arrays['size']
    _require(position.dtype == np.int64 and size.dtype == np.int32
             and position.shape == size.shape == arrays['pts'].shape)
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
        raise InputError('this is no index of a video')
