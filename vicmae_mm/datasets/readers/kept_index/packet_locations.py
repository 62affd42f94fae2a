"""Where the packets of a video are in its file, and the settings that its decoder needs."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vicmae_mm.datasets.readers.container import upright
from vicmae_mm.datasets.readers.packet_content import READABLE_CODECS
from vicmae_mm.utils.errors import InputError

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

    from vicmae_mm.datasets.readers.pyav_reader import PyAVReader

# What libavformat passes to a decoder in addition to the packets, as far as decoders use it. Not
# the order of fields, which PyAV has from 18.1 on: only MJPEG needs it, and ``is_same`` notices.
DECODER_SETTINGS = ('width', 'height', 'codec_tag', 'reorder_depth', 'bits_per_coded_sample',
                    'color_range', 'colorspace', 'color_primaries', 'color_trc')
# What determines how the numbers in a frame become RGB.
FRAME_MEANING = ('width', 'height', 'color_range', 'colorspace', 'color_primaries', 'color_trc')
HEADER_BYTES = 32  # at most these come between matroska's position of a packet and its data


@dataclass
class StreamDecoder:
    """How to decode the packets of a video without its container."""
    decoder: str  # name of libavcodec's
    extradata: bytes  # the container's data for the decoder, such as H.264's parameter sets
    settings: dict[str, Any]  # values of DECODER_SETTINGS

    @classmethod
    def of(cls, context: VideoCodecContext) -> StreamDecoder:
        """Describe a container's decoder."""
        settings = {name: getattr(context, name) for name in DECODER_SETTINGS}
        return cls(context.codec.name, context.extradata or b'', {
            # Some are enumerations of PyAV, which JSON does not have.
            name: value if isinstance(value, str) else int(value)
            for name, value in settings.items()})

    def open(self) -> VideoCodecContext:
        """Create a decoder as the container would; a ValueError if there is none with these."""
        from av.codec import Codec, CodecContext
        codec = Codec(self.decoder, 'r')
        # The name comes from a file: a forged one must not reach libavcodec's other decoders.
        if codec.canonical_name not in READABLE_CODECS:
            raise InputError(f'{self.decoder!r} is not a decoder of {", ".join(READABLE_CODECS)}')
        context: Any = CodecContext.create(codec)
        context.extradata = self.extradata or None
        for name in DECODER_SETTINGS:
            setattr(context, name, self.settings[name])
        context.thread_count = 1  # as in ``video_stream``
        return context


def find_packet_locations(reader: PyAVReader) -> tuple[list[int], list[int]] | None:
    """Offset and bytes of each packet of a video in its file; None if the file alone lacks them."""
    # An edit list hides one of two packets with the same time stamp. Without the container, the
    # decoder returns both frames, and nothing distinguishes them.
    if len(set(reader.index.pts)) < len(reader.index.pts):
        return None
    positions, sizes = [], []
    with open(reader.path, 'rb') as file:
        for packet in reader.read_packets():
            # Side data come from the container, and may change how a packet is decoded.
            if packet.pos is None or any(True for _ in packet.iter_sidedata()):
                return None
            file.seek(packet.pos)
            offset = file.read(HEADER_BYTES + packet.size).find(packet)
            # The container stores it in another form: encrypted, or without a common prefix.
            if offset < 0:
                return None
            positions.append(packet.pos + offset)
            sizes.append(packet.size)
    return positions, sizes


def is_same(frame: VideoFrame | None, truth: VideoFrame | None) -> bool:
    """Whether a frame read by its location equals the container's, which is not rotated."""
    # Metadata is compared as well: this one frame is checked on behalf of all, and a black frame
    # looks the same whatever its colour tags.
    return (frame is not None and truth is not None
            and 'DISPLAYMATRIX' not in truth.side_data
            and frame.format.name == truth.format.name
            and all(getattr(frame, name) == getattr(truth, name) for name in FRAME_MEANING)
            and np.array_equal(upright(frame), upright(truth)))
