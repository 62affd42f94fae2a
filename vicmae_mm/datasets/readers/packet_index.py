"""Which coded packet of a video holds which of its frames, found without decoding."""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from .packet_content import READABLE_CODECS, read_content

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# Their time stamps are those that the muxer wrote. In others (avi has none, a program stream has
# some) libavformat guesses, and guesses wrong with B-frames.
TRUSTED_CONTAINERS = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm')
CHANGE = 'settings of the decoder change during the video'


@dataclass
class PacketIndex:
    """The packets of a video stream, in decoding order, and the frames they hold."""
    pts: list[int] = field(default_factory=list)  # time stamp of each packet, in ticks
    # Packets at which decoding can start, ascending, including those that an edit list hides
    keyframes: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)  # packet of each frame, in presentation order
    # Packets that can be left out without a change to any other frame
    disposable: set[int] = field(default_factory=set)
    edited: bool = False  # whether an edit list hides some packets
    unreliable_reason: str = ''  # why frames must be counted instead; '' if this can be trusted

    @classmethod
    def of(cls, packets: Iterable[Packet], stream: VideoStream) -> PacketIndex:
        """Build the index from all packets of ``stream``, in one pass."""
        index, problem, refreshes = cls(), '', set()
        kept: dict[int, tuple[bytes, ...]] = {}
        codec = stream.codec_context.codec.canonical_name
        header = stream.codec_context.extradata or b''
        for i, packet in enumerate(packets):
            content = read_content(memoryview(packet), codec, header)
            index.pts.append(packet.pts or 0)
            if not packet.is_discard:
                index.shown.append(i)
            if packet.is_keyframe and content.starts:
                index.keyframes.append(i)
            if content.refreshes:
                refreshes.add(i)
            if content.kept:
                kept[i] = content.kept
            if content.disposable:
                index.disposable.add(i)
            if packet.pts is None:
                problem = 'time stamps are missing'
            # The decoder of H.264 must report a packet without a picture, as if it was damaged.
            elif content.pictures > 1 or not (content.pictures or codec == 'h264'):
                problem = 'not every packet holds one frame'
            elif (i and content.joined) or any(
                    data.data_type in ('new_extradata', 'param_change')
                    for data in packet.iter_sidedata()):
                problem = CHANGE
        index.edited = len(index.shown) < len(index.pts)
        # Where videos are joined, an open GOP may refer to frames that were cut off.
        refreshing = [i for i in index.keyframes if i in refreshes]
        index.keyframes = refreshing if len(refreshing) > 1 else index.keyframes
        # Before sorting: the check compares decoding order and time stamps.
        index.unreliable_reason = _unreliable_reason(index, stream, problem, refreshes, kept)
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


def _unreliable_reason(index: PacketIndex, stream: VideoStream, problem: str,
                       refreshes: set[int], kept: dict[int, tuple[bytes, ...]]) -> str:
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
    if problem:
        return problem
    if len(set(pts)) < len(pts):
        return 'time stamps occur twice'
    # The decoder drops such frames, or shows damaged ones: only decoding tells how many.
    if index.keyframes[:1] != [0] or 0 not in refreshes or min(pts) < index.pts[0]:
        return 'the video starts with frames that refer to what was cut off'
    if not _keeps(kept, index.keyframes, context.extradata or b''):
        return CHANGE
    # With B-frames, true time stamps are not ascending: these are decoding times.
    if context.has_b_frames and _ascending(index, codec):
        return 'time stamps follow the decoding order although frames may be reordered'
    if not _come_out_sorted(index.pts, refreshes, context.reorder_depth):
        return 'time stamps contradict the decoding order'
    return ''


def _keeps(kept: dict[int, tuple[bytes, ...]], keyframes: list[int], header: bytes) -> bool:
    """Whether the decoder has the same parameters for a frame wherever decoding starts."""
    if len(set(kept.values())) == 1 and kept.keys() >= {*keyframes}:
        return True
    # Repeated, as the container has them: after their lengths.
    return all(len(item).to_bytes(2, 'big') + item in header
               for items in kept.values() for item in items)


def _ascending(index: PacketIndex, codec: str) -> bool:
    """Whether frames that are reordered have ascending time stamps, somewhere or everywhere."""
    # In H.264, a group of pictures without disposable ones may have no B-frames.
    groups = [index.pts[a:b] for a, b in pairwise([*index.keyframes, len(index.pts)])
              if codec != 'h264' or not index.disposable.isdisjoint(range(a, b))]
    return any(len(pts) > 1 and pts == sorted(pts) for pts in [index.pts, *groups])


def _come_out_sorted(pts: list[int], refreshes: set[int], depth: int) -> bool:
    """Whether a decoder that holds ``depth`` frames back returns them in the order of stamps."""
    held, out = list[int](), list[int]()
    for i, time in enumerate(pts):
        ready = len(held) if i in refreshes else max(len(held) - depth, 0)
        out += held[:ready]
        held = sorted([*held[ready:], time])
    return out + held == sorted(pts)
