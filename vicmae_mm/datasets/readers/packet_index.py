"""Which coded packet of a video holds which of its frames, found without decoding."""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise
from typing import TYPE_CHECKING

from .packet_content import READABLE_CODECS, PacketContent, parameter_sets, read_content

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# In others (avi has no time stamps, a program stream stamps some frames only) libavformat guesses
# time stamps, and guesses wrong with B-frames.
TRUSTED_CONTAINERS = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm')
SWITCHES = ('new_extradata', 'param_change')  # with a packet, by which the container says so


@dataclass
class PacketIndex:
    """The packets of a video stream, in decoding order, and the frames they hold.

    Attributes:
        pts: Time stamp of each packet, in ticks of the stream.
        keyframes: Packets at which decoding can start, ascending, including those that an edit
            list hides.
        false_keyframes: Whether the container calls other packets keyframes, too.
        shown: The packet of each frame, in presentation order.
        disposable: Packets that can be left out without a change to any other frame.
        edited: Whether an edit list hides some packets.
        unreliable_reason: Why none of this can be trusted, so that frames must be counted; '' if
            it can.
    """
    pts: list[int] = field(default_factory=list)
    keyframes: list[int] = field(default_factory=list)
    false_keyframes: bool = False
    shown: list[int] = field(default_factory=list)
    disposable: set[int] = field(default_factory=set)
    edited: bool = False
    unreliable_reason: str = ''

    @classmethod
    def of(cls, packets: Iterable[Packet], stream: VideoStream) -> PacketIndex:
        """Build the index from all packets of ``stream``, in one pass."""
        index, contents = cls(), []
        codec = stream.codec_context.codec.canonical_name
        header = stream.codec_context.extradata or b''
        stamped, flagged, switches = True, 0, False
        for i, packet in enumerate(packets):
            stamped &= packet.pts is not None
            index.pts.append(packet.pts or 0)
            if not packet.is_discard:
                index.shown.append(i)
            flagged += packet.is_keyframe
            if codec in READABLE_CODECS:
                content = read_content(memoryview(packet), codec, header)
                contents.append(content)
                if packet.is_keyframe and content.starts:
                    index.keyframes.append(i)
                if content.disposable:
                    index.disposable.add(i)
                switches |= any(map(packet.has_sidedata, SWITCHES))
        index.edited = len(index.shown) < len(index.pts)
        index.false_keyframes = flagged > len(index.keyframes)
        # Before sorting: the check compares decoding order and time stamps.
        index.unreliable_reason = _unreliable_reason(index, stream, stamped, contents, switches)
        index.shown.sort(key=index.pts.__getitem__)
        # Marks of HEVC mean less: pictures of a higher sublayer may refer to these.
        if codec == 'hevc':
            index.disposable = set()
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
                       contents: list[PacketContent], switches: bool) -> str:
    """Why the time stamps do not give the order of the frames, or ''."""
    container, context = stream.container.format.name, stream.codec_context
    codec = context.codec.canonical_name
    pts = [index.pts[i] for i in index.shown]
    if not pts:
        return 'an edit list hides every frame'
    if container not in TRUSTED_CONTAINERS:
        return f'{container} files have no reliable time stamps'
    if codec not in READABLE_CODECS:
        return f'packets of {codec} video may hold no frame or several'
    if any(content.pictures != 1 for content in contents):
        return 'not every packet holds one frame'
    if not stamped:
        return 'time stamps are missing'
    if len(set(pts)) < len(pts):
        return 'time stamps occur twice'
    # The decoder drops such frames, or shows damaged ones: only decoding tells how many.
    if index.keyframes[:1] != [0] or not contents[0].refreshes or min(pts) < index.pts[0]:
        return 'the video starts with frames that refer to what was cut off'
    if switches or not _one_state(index, contents, parameter_sets(codec, context.extradata or b'')):
        return 'settings of the decoder change during the video'
    if context.has_b_frames and _has_decoding_times(index):
        return 'time stamps follow the decoding order although frames may be reordered'
    if not _come_out_ascending(index.pts, contents, context.reorder_depth):
        return 'time stamps do not follow the order in which frames are decoded'
    return ''


def _one_state(index: PacketIndex, contents: list[PacketContent],
               declared: tuple[bytes, ...]) -> bool:
    """Whether the decoder's parameter sets are the same wherever decoding starts."""
    states = {content.state for content in contents if content.state}
    at_starts = {contents[i].state for i in index.keyframes}

    def remains(whole: tuple[bytes, ...]) -> bool:
        # A part may be repeated if it replaces none of the others: their types differ.
        one_each = len({item[:1] for item in whole}) == len(whole)
        return all(state == whole or (one_each and set(state) <= set(whole)) for state in states)

    return remains(declared) or (len(at_starts) == 1 and remains(at_starts.pop()))


def _has_decoding_times(index: PacketIndex) -> bool:
    """Whether time stamps ascend in decoding order although frames were reordered."""
    # In a group of pictures, or in all, where it is not known which of them are B-frames.
    groups = pairwise([*index.keyframes, len(index.pts)])
    ascends = index.pts == sorted(index.pts) and len(index.pts) > 1
    return ascends or any(
        index.pts[a:b] == sorted(index.pts[a:b]) and not index.disposable.isdisjoint(range(a, b))
        for a, b in groups)


def _come_out_ascending(pts: list[int], contents: list[PacketContent], depth: int) -> bool:
    """Whether a decoder that holds ``depth`` frames back returns them in the order of stamps."""
    held: list[int] = []
    out: list[int] = []
    for time, content in zip(pts, contents, strict=True):
        if content.refreshes:
            out += sorted(held)
            held = []
        heappush(held, time)
        if len(held) > depth:
            out.append(heappop(held))
    return out + sorted(held) == sorted(pts)
