"""What the headers in a coded packet say: how many pictures it shows, and what they depend on."""
from __future__ import annotations

import re
from typing import NamedTuple

# nal_unit_type (H.264 and H.265, table 7-1) of what stays in the decoder: parameter sets; in HEVC
# also a broken link and the end of a sequence, after which it drops pictures.
KEPT = {'h264': (7, 8), 'hevc': (16, 17, 18, 32, 33, 34, 36, 37)}
REFRESHES = {'h264': {5}, 'hevc': {19, 20}}
OPEN_GOP = 21  # of HEVC
# libavcodec repeats an error of old builds, named in the first packet, in 4:4:4 (profile_idc 244).
HIGH_444, OLD_X264 = 244, rb'x264 - core (\d\d|1[0-4]\d|150) '
X264 = rb'x264 - core '  # its settings, which it writes into the first packet only


class PacketContent(NamedTuple):
    """The headers in a packet."""
    pictures: int = 0  # number of those shown
    starts: bool = False  # whether decoding can start here
    refreshes: bool = False  # whether nothing that follows refers to anything before it
    disposable: bool = False  # whether nothing refers to the picture; only for H.264
    kept: tuple[bytes, ...] = ()  # what stays in the decoder apart from pictures
    joined: bool = False  # whether a later packet with this is the first one of a joined video


def read_content(data: memoryview, codec: str, header: bytes) -> PacketContent:
    """Read a packet of a codec in ``READABLE_CODECS``, with the container's data for the decoder.

    It has no pictures if it ends within a header, or is not in the form of mp4 and matroska.
    """
    try:
        return _READERS[codec](data, codec, header)
    except LookupError:
        return PacketContent()


def _read_nal_units(data: memoryview, codec: str, header: bytes) -> PacketContent:
    avc = codec == 'h264'
    if header[0] != 1:
        raise LookupError('the units do not begin with their lengths')
    size = (header[4 if avc else 21] & 3) + 1  # of a length (ISO 14496-15, 5.3.3 and 8.3.3)
    pictures, kinds, disposable, kept, begins, at = 0, set(), avc, [], False, 0
    while at + size < len(data):
        end = at + size + int.from_bytes(data[at:at + size], 'big')
        if end == at + size:
            break
        unit, at = data[at + size:end], end
        kind, begin = (unit[0] & 31, unit[1]) if avc else (unit[0] >> 1, unit[2])
        if not avc and (unit[0] & 1 or unit[1] & 0xf8):
            continue  # of another layer, such as transparency, which is not decoded
        disposable &= not unit[0] & 0x60  # nal_ref_idc
        if kind in (1, 5) or (not avc and kind < 32):  # a slice
            kinds.add(kind)
            pictures += begin >> 7  # the first slice of a picture
        begins |= avc and kind == 6 and re.search(X264, unit) is not None
        if (kind in KEPT[codec]
                or (not avc and kind in REFRESHES[codec] and begin & 0x40)  # drops earlier ones
                or (avc and kind == 6 and header[1] == HIGH_444 and re.search(OLD_X264, unit))):
            kept.append(bytes(unit))
    if at != len(data):  # damaged, which the decoder must report; it takes nothing from it
        return PacketContent(1)
    refreshes = not kinds.isdisjoint(REFRESHES[codec])
    return PacketContent(pictures, refreshes or (not avc and OPEN_GOP in kinds), refreshes,
                         disposable and pictures > 0, tuple(kept),
                         begins and not {unit[0] & 31 for unit in kept} >= {7, 8})


def _read_vp9(data: memoryview, codec: str, header: bytes) -> PacketContent:
    if data[0] >> 6 != 2:  # damaged, which the decoder must report
        return PacketContent(1)
    bits = data[0] << 1 if data[0] & 0x30 == 0x30 else data[0]  # profile 3 has one more
    key = not bits & 0b1100  # show_existing_frame, frame_type
    # Of several frames in a packet (Annex B), the last is shown; a single one may be hidden.
    shown = data[-1] >> 5 == 6 or bool(bits & 0b1010)
    colours_and_size = (bytes(data[4:8]),) if key else ()
    return PacketContent(int(shown), key, key, kept=colours_and_size)


def _read_av1(data: memoryview, codec: str, header: bytes) -> PacketContent:
    at, pictures, keys, kept = 0, 0, [], []
    while at < len(data):
        kind, extended, sized = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] & 2
        at += 1 + extended
        size, shift = 0 if sized else len(data) - at, 0
        while sized:  # leb128
            size |= (data[at] & 127) << shift
            shift, sized, at = shift + 7, data[at] & 128, at + 1
        if kind == 1:  # sequence header
            kept.append(bytes(data[at:at + size]))
        elif kind in (3, 6):  # frame header, alone or with its tiles
            pictures += bool(data[at] & 0x90)  # show_existing_frame, or show_frame
            keys.append(data[at] & 0xf0 == 0x10)  # a key frame that is shown
        at += size
    starts = bool(kept) and keys[0]
    return PacketContent(pictures, starts, starts, kept=tuple(kept))


_READERS = {'h264': _read_nal_units, 'hevc': _read_nal_units, 'vp9': _read_vp9, 'av1': _read_av1}
READABLE_CODECS = tuple(_READERS)
