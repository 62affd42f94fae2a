"""Which coded packet of a video holds which of its frames, found without decoding any."""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# Where a packet holds exactly one shown frame, and its time stamp is the one a muxer knew and
# wrote down. Elsewhere (avi has no time stamps, a VP8 packet may show nothing, a program
# stream stamps some frames only) libavformat guesses, and guesses wrong with B-frames.
TRUSTED_CONTAINERS = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm')
TRUSTED_CODECS = ('h264', 'hevc', 'vp9', 'av1', 'mpeg4', 'mjpeg')

IDR_SLICE = 5  # nal_unit_type (ITU-T H.264, table 7-1)


@dataclass
class PacketIndex:
    """The packets of one video stream, in decoding order, and the frames they hold.

    Attributes:
        pts: Time stamp of each packet, in ticks of the stream.
        keyframes: Packets that decoding can start at, ascending; those that an edit list
            hides are among them.
        shown: The packet of each frame, in the order the frames are shown.
        disposable: Packets that change nothing but their own frame by being left out.
        edited: Whether an edit list hides some packets.
        unreliable_reason: Why none of it can be trusted, so that frames must be counted; '' if
            it can.
    """
    pts: list[int] = field(default_factory=list)
    keyframes: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    disposable: set[int] = field(default_factory=set)
    edited: bool = False
    unreliable_reason: str = ''

    @classmethod
    def of(cls, packets: Iterable[Packet], stream: VideoStream) -> PacketIndex:
        """Build the index from all packets of ``stream``, looking at each once."""
        index = cls()
        stamped = clean_start = True
        for i, packet in enumerate(packets):
            stamped &= packet.pts is not None
            index.pts.append(packet.pts or 0)
            if packet.is_keyframe:
                index.keyframes.append(i)
            if not packet.is_discard:
                index.shown.append(i)
            if is_disposable(packet):
                index.disposable.add(i)
            if i == 0:
                clean_start = packet.is_keyframe and is_instant_refresh(packet)
        index.edited = len(index.shown) < len(index.pts)
        index.unreliable_reason = _unreliable_reason(index, stream, stamped, clean_start)
        index.shown.sort(key=index.pts.__getitem__)
        return index

    def start_of(self, packet: int) -> int:
        """The keyframe from which decoding reaches ``packet`` with all that it refers to.

        A frame shown before a keyframe but decoded after it (open GOP) may refer to what
        comes before the keyframe, and so needs the keyframe before that one.
        """
        k = bisect_right(self.keyframes, packet) - 1
        while self.pts[self.keyframes[k]] > self.pts[packet]:
            k -= 1
        return self.keyframes[k]


def _unreliable_reason(index: PacketIndex, stream: VideoStream, stamped: bool,
                       clean_start: bool) -> str:
    """Why the time stamps don't tell the order of the frames, or ''."""
    container, context = stream.container.format.name, stream.codec_context
    codec = context.codec.canonical_name
    pts = [index.pts[i] for i in index.shown]
    if not pts:
        return 'an edit list hides every frame'
    if container not in TRUSTED_CONTAINERS:
        return f'{container} files have no reliable time stamps'
    if codec not in TRUSTED_CODECS:
        return f'packets of {codec} video may hold no frame or several'
    if not stamped:
        return 'time stamps are missing'
    if len(set(pts)) < len(pts):
        return 'time stamps occur twice'
    if not clean_start or min(pts) < index.pts[0]:
        return 'the video starts with frames that refer to what was cut off'
    if context.has_b_frames and len(pts) > 1 and pts == sorted(pts):
        return 'time stamps follow the decoding order although frames may be reordered'
    return ''


def is_instant_refresh(packet: Packet) -> bool:
    """Whether an H.264 keyframe is an IDR picture; packets of other codecs are not looked into.

    Nothing after an IDR picture refers to anything before it. After other keyframes (an open
    GOP, or a refresh spread over several frames) something may.
    """
    if not _is_avc(packet):
        return True
    return any(header & 31 == IDR_SLICE for header in _nal_headers(packet)[0])


def is_disposable(packet: Packet) -> bool:
    """Whether no frame refers to the one in an H.264 packet, nor to anything else in there.

    This is what nal_ref_idc = 0 says; other codecs' marks mean less (HEVC) or save little. A
    packet that is not whole is left to the decoder to complain about.
    """
    if not _is_avc(packet):
        return False
    headers, whole = _nal_headers(packet)
    return whole and not any(header >> 5 & 3 for header in headers)


def _is_avc(packet: Packet) -> bool:
    """Whether it is of H.264 video as in mp4: NAL units with their lengths before them."""
    context = packet.stream.codec_context
    header = context.extradata
    return context.codec.canonical_name == 'h264' and bool(header) and header[0] == 1


def _nal_headers(packet: Packet) -> tuple[list[int], bool]:
    """First byte of each NAL unit, and whether the last one ends where the packet does."""
    size = (packet.stream.codec_context.extradata[4] & 3) + 1  # of a length (ISO 14496-15, 5.3.3)
    data = memoryview(packet)
    headers, at = [], 0
    while at + size < len(data):
        headers.append(data[at + size])
        at += size + int.from_bytes(data[at:at + size], 'big')
    return headers, at == len(data)
