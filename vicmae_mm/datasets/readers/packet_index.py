"""Which coded packet of a video holds which of its frames, found without decoding."""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# In these, a packet holds exactly one shown frame, and its time stamp is the one that the muxer
# wrote. In others (avi has no time stamps, a VP8 packet may show nothing, a program stream stamps
# some frames only) libavformat guesses, and guesses wrong with B-frames.
TRUSTED_CONTAINERS = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm')
TRUSTED_CODECS = ('h264', 'hevc', 'vp9', 'av1', 'mpeg4', 'mjpeg')

IDR_SLICE = 5  # nal_unit_type (ITU-T H.264, table 7-1)


@dataclass
class PacketIndex:
    """The packets of a video stream, in decoding order, and the frames they hold.

    Attributes:
        pts: Time stamp of each packet, in ticks of the stream.
        keyframes: Packets at which decoding can start, ascending, including those that an edit
            list hides.
        shown: The packet of each frame, in presentation order.
        disposable: Packets that can be left out without a change to any other frame.
        edited: Whether an edit list hides some packets.
        unreliable_reason: Why none of this can be trusted, so that frames must be counted; '' if
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
        """Build the index from all packets of ``stream``, in one pass."""
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
        # Before sorting: the check compares decoding order and time stamps.
        index.unreliable_reason = _unreliable_reason(index, stream, stamped, clean_start)
        index.shown.sort(key=index.pts.__getitem__)
        return index

    def start_of(self, packet: int) -> int:
        """The keyframe from which decoding reaches ``packet`` with everything it refers to."""
        k = bisect_right(self.keyframes, packet) - 1
        # Open GOP: a frame that is decoded after a keyframe but shown before it may refer to
        # frames before the keyframe, so it needs the previous one.
        while self.pts[self.keyframes[k]] > self.pts[packet]:
            k -= 1
        return self.keyframes[k]


def _unreliable_reason(index: PacketIndex, stream: VideoStream, stamped: bool,
                       clean_start: bool) -> str:
    """Why the time stamps do not give the order of the frames, or ''."""
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
    # The decoder drops such frames, or shows damaged ones: only decoding tells how many.
    if not clean_start or min(pts) < index.pts[0]:
        return 'the video starts with frames that refer to what was cut off'
    # With B-frames, true time stamps are not ascending: these are decoding times.
    if context.has_b_frames and len(pts) > 1 and pts == sorted(pts):
        return 'time stamps follow the decoding order although frames may be reordered'
    return ''


def is_instant_refresh(packet: Packet) -> bool:
    """Whether an H.264 keyframe is an IDR picture; True for other codecs, which are not parsed."""
    # Nothing after an IDR picture refers to anything before it. After another keyframe (of an open
    # GOP, or of a refresh spread over several frames), something may.
    if not _is_avc(packet):
        return True
    return any(header & 31 == IDR_SLICE for header in _nal_headers(packet)[0])


def is_disposable(packet: Packet) -> bool:
    """Whether nothing refers to the frame in an H.264 packet: nal_ref_idc is 0 throughout."""
    # Other codecs' marks mean less (HEVC) or would save little.
    if not _is_avc(packet):
        return False
    # A damaged packet is not left out: the decoder must report it.
    headers, complete = _nal_headers(packet)
    return complete and not any(header >> 5 & 3 for header in headers)


def _is_avc(packet: Packet) -> bool:
    """Whether it is H.264 as in mp4, where each NAL unit is preceded by its length."""
    context = packet.stream.codec_context
    header = context.extradata
    return context.codec.canonical_name == 'h264' and bool(header) and header[0] == 1


def _nal_headers(packet: Packet) -> tuple[list[int], bool]:
    """First byte of each NAL unit, and whether the last unit ends where the packet does."""
    size = (packet.stream.codec_context.extradata[4] & 3) + 1  # of a length (ISO 14496-15, 5.3.3)
    data = memoryview(packet)
    headers, at = [], 0
    while at + size < len(data):
        headers.append(data[at + size])
        at += size + int.from_bytes(data[at:at + size], 'big')
    return headers, at == len(data)
