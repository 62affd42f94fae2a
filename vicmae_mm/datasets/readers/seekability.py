"""For which files a library that seeks by itself returns the right frames.

decord and torchcodec seek to what the container calls a keyframe and number frames by their
packets. Measured against a decode from the start, both return other frames (or none) where an
edit list hides packets, where a keyframe does not cut all references, or where time stamps can't
be trusted; decord also returns garbage for frames to be turned and never returns from MPEG-TS.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from .packet_index import PacketIndex, is_instant_refresh

if TYPE_CHECKING:
    from .pyav_reader import PyAVReader


def seek_problem(reader: PyAVReader) -> str:
    """Why a library that seeks by itself could return other frames of this video, or ''."""
    index = reader.index
    if index.unreliable_reason:
        return index.unreliable_reason
    if index.edited:
        return 'an edit list hides some of its packets'
    if not _closed_gops(index) or not _instant_refresh(reader):
        return 'frames after a keyframe may refer to frames before it (open GOP)'
    if reader.turned:
        return 'its frames are to be turned'
    return ''


def _closed_gops(index: PacketIndex) -> bool:
    """Whether no frame is decoded after a keyframe but shown before it."""
    ends = [*index.keyframes[1:], len(index.pts)]
    return all(min(index.pts[key:end]) == index.pts[key]
               for key, end in zip(index.keyframes, ends, strict=True))


def _instant_refresh(reader: PyAVReader) -> bool:
    """Whether nothing after any keyframe refers to anything before it, for H.264."""
    keyframes = set(reader.index.keyframes)
    return all(is_instant_refresh(packet) for i, packet in enumerate(reader.read_packets())
               if i in keyframes)
