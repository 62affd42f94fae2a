"""Where the packets of a video lie in its file, and what its decoder must be told.

With these, frames are read without opening the container, which costs more than decoding the
few packets between two keyframes that are close.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vicmae_mm.datasets.readers.container import upright
from vicmae_mm.datasets.readers.packet_index import TRUSTED_CODECS
from vicmae_mm.utils.errors import InputError

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

    from vicmae_mm.datasets.readers.pyav_reader import PyAVReader

# What libavformat tells a decoder beside the packets, as far as decoders listen to it.
DECODER_SETTINGS = ('width', 'height', 'codec_tag', 'reorder_depth', 'bits_per_coded_sample',
                    'field_order', 'color_range', 'colorspace', 'color_primaries', 'color_trc')
# What says how the numbers in a frame are to be taken.
FRAME_MEANING = ('width', 'height', 'color_range', 'colorspace', 'color_primaries', 'color_trc')
HEADER_BYTES = 32  # most that matroska puts between where a packet is said to be and its data


@dataclass
class PacketLocations:
    """Where the packets of one video stream lie, and how to decode them.

    Attributes:
        positions: Of the first byte of each packet, in decoding order.
        sizes: Bytes of each packet.
        decoder: Name of libavcodec's decoder.
        extradata: What the container holds for the decoder, such as H.264's parameter sets.
        settings: ``DECODER_SETTINGS``.
    """
    positions: list[int]
    sizes: list[int]
    decoder: str
    extradata: bytes
    settings: dict[str, Any]

    def open_decoder(self) -> VideoCodecContext:
        """A decoder in the state in which the container would hand one out.

        Raises:
            ValueError: There is no such decoder or setting.
        """
        from av.codec import Codec, CodecContext
        codec = Codec(self.decoder, 'r')
        if codec.canonical_name not in TRUSTED_CODECS:
            raise InputError(f'{self.decoder!r} is not for video whose index can be trusted')
        context: Any = CodecContext.create(codec)
        context.extradata = self.extradata or None
        for name in DECODER_SETTINGS:
            setattr(context, name, self.settings[name])
        context.thread_count = 1
        return context


def find_packet_locations(reader: PyAVReader) -> PacketLocations | None:
    """The places of all packets of a video, or None where the file alone does not give them.

    It does not where a container stores packets in another form (encrypted, say, or with a
    common beginning left out), has more to tell than a decoder can be told here, or hides a frame
    that has the time stamp of another: a decoder that is not told what is hidden shows both.
    """
    if len(set(reader.index.pts)) < len(reader.index.pts):
        return None
    positions, sizes = [], []
    with open(reader.path, 'rb') as file:
        for packet in reader.read_packets():
            if packet.pos is None or any(True for _ in packet.iter_sidedata()):
                return None
            file.seek(packet.pos)
            offset = file.read(HEADER_BYTES + packet.size).find(packet)
            if offset < 0:
                return None
            positions.append(packet.pos + offset)
            sizes.append(packet.size)
    decoder = reader.decoder
    return PacketLocations(
        positions, sizes, decoder.codec.name, decoder.extradata or b'',
        {name: _plain(getattr(decoder, name)) for name in DECODER_SETTINGS})


def is_same(frame: VideoFrame | None, truth: VideoFrame | None) -> bool:
    """Whether a frame read by its place is that of the container, which asks for no turning."""
    return (frame is not None and truth is not None
            and 'DISPLAYMATRIX' not in truth.side_data
            and frame.format.name == truth.format.name
            and all(getattr(frame, name) == getattr(truth, name) for name in FRAME_MEANING)
            and np.array_equal(upright(frame), upright(truth)))


def _plain(value: Any) -> int | str:
    return value if isinstance(value, str) else int(value)
