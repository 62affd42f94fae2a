"""What a coded packet says of itself: the pictures it holds, and what these depend on."""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

HIGH_444 = 244  # profile_idc (ITU-T H.264, A.2.11)
CORRECTED_X264 = 151  # libavcodec decodes 4:4:4 video of an older build in the way of that build


class PacketContent(NamedTuple):
    """The headers in a packet.

    Attributes:
        pictures: Number of pictures that it shows.
        starts: Whether decoding can start here.
        refreshes: Whether nothing that follows refers to anything before it.
        disposable: Whether nothing refers to its picture.
        state: What it leaves in the decoder apart from pictures, such as parameter sets.
    """
    pictures: int = 0
    starts: bool = False
    refreshes: bool = False
    disposable: bool = False
    state: tuple[bytes, ...] = ()


def read_content(data: memoryview, codec: str, header: bytes) -> PacketContent:
    """Read the headers in a packet; no pictures if they are incomplete or of an unknown form.

    Args:
        codec: One of ``READABLE_CODECS``.
        header: The container's data for the decoder; of H.264 and HEVC, as in mp4 and matroska.
    """
    try:
        return _READERS[codec](data, header)
    except IndexError:
        return PacketContent()


def parameter_sets(codec: str, header: bytes) -> tuple[bytes, ...]:
    """The parameter sets in ``header``; empty for codecs that have none."""
    if codec not in ('h264', 'hevc'):
        return ()
    at, arrays, prefix = (5, 2, 1) if codec == 'h264' else (23, header[22:23], 3)
    sets = []
    for _ in range(arrays if isinstance(arrays, int) else sum(arrays)):
        at += prefix
        for _ in range(sum(header[at - 1:at]) & 31):
            end = at + 2 + int.from_bytes(header[at:at + 2], 'big')
            sets.append(header[at + 2:end].rstrip(b'\0'))
            at = end
    return tuple(sets)


def _read_h264(data: memoryview, header: bytes) -> PacketContent:
    pictures, kinds, referenced, state = 0, set(), 0, []
    units, complete = _nal_units(data, header, 4)
    for unit in units:
        kind, second = unit[0] & 31, unit[1]
        kinds.add(kind)
        referenced |= unit[0] & 0x60  # nal_ref_idc
        if kind in (1, 5):  # a slice; the first of a picture begins with the number 0
            pictures += second >> 7
        elif kind in (7, 8) or (kind == 6 and header[1] == HIGH_444 and _is_of_old_x264(unit)):
            state.append(bytes(unit).rstrip(b'\0'))
    if not complete:  # damaged, which the decoder must report
        return PacketContent(1, state=tuple(state))
    return PacketContent(pictures, 5 in kinds, 5 in kinds, not referenced, tuple(state))


def _read_hevc(data: memoryview, header: bytes) -> PacketContent:
    pictures, kinds, state = 0, set(), []
    units, complete = _nal_units(data, header, 21)
    for unit in units:
        if unit[0] & 1 or unit[1] & 0xf8:
            continue  # of another layer, such as transparency, which is not decoded
        kind = unit[0] >> 1
        kinds.add(kind)
        if kind < 32:  # a slice; the first of a picture says so in its first bit
            pictures += unit[2] >> 7
        # Other than by parameter sets, decoding changes where pictures are dropped: after an end of
        # sequence, at a broken link, and where earlier ones are not to be shown any more.
        if kind in (16, 17, 18, 32, 33, 34, 36, 37) or (kind in (19, 20) and unit[2] & 0x40):
            state.append(bytes(unit).rstrip(b'\0'))
    if not complete:
        return PacketContent(1, state=tuple(state))
    refreshes = bool(kinds & {19, 20})
    return PacketContent(pictures, refreshes or 21 in kinds, refreshes,
                         any(kind < 16 and not kind & 1 for kind in kinds), tuple(state))


def _read_vp9(data: memoryview, header: bytes) -> PacketContent:
    frames, marker = [data], data[-1]
    size, count = (marker >> 3 & 3) + 1, (marker & 7) + 1
    table = len(data) - 1 - size * count
    if marker >> 5 == 6 and table > 0 and data[table - 1] == marker:  # a superframe (Annex B)
        frames, at = [], 0
        for i in range(table, len(data) - 1, size):
            end = at + int.from_bytes(data[i:i + size], 'little')
            frames.append(data[at:end])
            at = end
    pictures, keys, state = 0, [], []
    for frame in frames:
        bits = frame[0] << 1 if frame[0] & 0x30 == 0x30 else frame[0]  # profile 3 has one more
        pictures += bool(bits & 0b1010)  # show_existing_frame, or show_frame
        keys.append(not bits & 0b1100)
        if keys[-1]:
            state.append(bytes(frame[4:8]))  # colours and size
    return PacketContent(pictures, keys[0], keys[0], False, tuple(state))


def _read_av1(data: memoryview, header: bytes) -> PacketContent:
    at, pictures, keys, state = 0, 0, [], []
    while at < len(data):
        kind, extended, sized = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] & 2
        at += 1 + extended
        size, shift = (0, 0) if sized else (len(data) - at, 0)
        while sized:  # leb128
            size |= (data[at] & 127) << shift
            shift, sized, at = shift + 7, data[at] & 128, at + 1
        if kind == 1:  # sequence header
            state.append(bytes(data[at:at + size]))
        elif kind in (3, 6):  # frame header, alone or with its tiles
            pictures += bool(data[at] & 0x90)  # show_existing_frame, or show_frame
            keys.append(data[at] & 0xf0 == 0x10)  # a key frame that is shown
        at += size
    # Its sequence header must be in the same packet.
    starts = bool(state) and keys[:1] == [True]
    return PacketContent(pictures, starts, starts, False, tuple(state))


def _nal_units(data: memoryview, header: bytes, at: int) -> tuple[list[memoryview], bool]:
    """The NAL units, each after its length, and whether the last ends where the packet does."""
    if header[0] != 1:
        raise IndexError('these lengths are in another form')
    units, size, begin = [], (header[at] & 3) + 1, 0  # ISO 14496-15, 5.3.3 and 8.3.3
    while begin + size < len(data):
        end = begin + size + int.from_bytes(data[begin:begin + size], 'big')
        units.append(data[begin + size:end])
        begin = end
    return units, begin == len(data)


def _is_of_old_x264(message: memoryview) -> bool:
    build = re.search(rb'x264 - core (\d+)', message)
    return build is not None and int(build[1]) < CORRECTED_X264


_READERS: dict[str, Callable[[memoryview, bytes], PacketContent]] = {
    'h264': _read_h264, 'hevc': _read_hevc, 'vp9': _read_vp9, 'av1': _read_av1}
READABLE_CODECS = tuple(_READERS)
