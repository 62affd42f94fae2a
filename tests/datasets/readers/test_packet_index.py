"""The index of hand-written packets; test_accuracy.py has real ones."""
from types import SimpleNamespace

import pytest

from vicmae_mm.datasets.readers.packet_index import PacketIndex

KEY, HIDDEN_KEY, INTER = b'\x82ISB\1\2\3\4\0', b'\x80ISB\1\2\3\4\0', b'\x86'  # of VP9
SETS = b'\0\2\x67\x01', b'\0\2\x68\x02', b'\0\2\x67\x03'  # of H.264, after their lengths


class StubPacket(bytearray):
    side_data: str | None = None

    def iter_sidedata(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(data_type=self.side_data)] if self.side_data else []


def index_of(pts: list[int | None], keyframes: set[int], hidden: set[int] = frozenset(),
             container: str = 'matroska,webm', codec: str = 'vp9', reorders: bool = True,
             data: dict[int, bytes] | None = None, header: bytes | None = None,
             side_data: dict[int, str] | None = None, depth: int = 2):
    """An index of packets with these time stamps, in decoding order."""
    context = SimpleNamespace(codec=SimpleNamespace(canonical_name=codec), extradata=header,
                              has_b_frames=reorders, reorder_depth=depth)
    stream = SimpleNamespace(
        codec_context=context,
        container=SimpleNamespace(format=SimpleNamespace(name=container)))
    packets = []
    for i, time in enumerate(pts):
        packet = StubPacket((data or {}).get(i, KEY if i in keyframes else INTER))
        packet.pts, packet.is_keyframe, packet.is_discard = time, i in keyframes, i in hidden
        packet.side_data = (side_data or {}).get(i)
        packets.append(packet)
    return PacketIndex.of(packets, stream)


def test_presentation_order_and_where_to_start():
    # I0 P3 B1 B2 | I6 B4 B5 P7: an open GOP, whose B4 and B5 need what precedes I6
    index = index_of([0, 3, 1, 2, 6, 4, 5, 7], keyframes={0, 4})
    assert index.unreliable_reason == '' and not index.edited
    assert index.shown == [0, 2, 3, 1, 5, 6, 4, 7]
    assert [index.start_of(packet) for packet in range(8)] == [0, 0, 0, 0, 4, 0, 0, 4]


def test_hidden_packets_are_not_frames_but_may_be_started_from():
    index = index_of([-2, 1, -1, 0], keyframes={0}, hidden={0, 2})
    assert index.unreliable_reason == '' and index.edited
    assert index.shown == [3, 1]
    assert index.start_of(3) == 0


@pytest.mark.parametrize(('reason', 'changes'), [
    ('missing', dict(pts=[0, None, 1])),
    ('occur twice', dict(pts=[0, 2, 2])),
    ('cut off', dict(pts=[0, 2, 1], keyframes=set())),
    ('cut off', dict(pts=[0, 2, 1], keyframes={1})),
    ('cut off', dict(pts=[1, 0, 2])),
    ('decoding order', dict(pts=[0, 1, 2])),
    ('every frame', dict(pts=[0, 2, 1], hidden={0, 1, 2})),
    ('no reliable', dict(pts=[0, 2, 1], container='avi')),
    ('hold no frame', dict(pts=[0, 2, 1], codec='vp8')),
])
def test_reasons_for_being_unreliable(reason, changes):
    assert reason in index_of(**(dict(keyframes={0}) | changes)).unreliable_reason


def test_ascending_stamps_are_right_where_nothing_is_reordered():
    assert index_of([0, 1, 2], keyframes={0}, reorders=False).unreliable_reason == ''
    assert index_of([0], keyframes={0}).unreliable_reason == ''


def test_a_time_stamp_repeated_by_a_hidden_packet_is_not_a_problem():
    assert index_of([0, 2, 2, 1], keyframes={0}, hidden={2}).unreliable_reason == ''


def test_decoding_starts_only_at_flagged_packets_that_hold_a_key_frame():
    index = index_of([0, 1, 2, 3], {0, 1, 2}, reorders=False, depth=0, data={2: INTER, 3: KEY})
    assert index.unreliable_reason == '' and index.keyframes == [0, 1]


def avc_index(units: list[bytes], header: tuple[bytes, ...] = SETS[:2], starts: int = 1):
    """An index of H.264 in which these come before the picture of a packet."""
    pictures = [b'\0\2\x65\x88'] * starts + [b'\0\2\x41\x9a'] * (len(units) - starts)
    packets = [unit + picture for unit, picture in zip(units, pictures, strict=True)]
    return index_of(list(range(len(units))), set(range(len(units))), codec='h264',
                    reorders=False, depth=0, data=dict(enumerate(packets)),
                    header=b'\1\0\0\0\1' + b''.join(header))


def test_parameter_sets_in_packets():
    first, second, other = SETS
    assert avc_index([b'', b'', b'']).unreliable_reason == ''
    assert avc_index([b'', b'', b'']).keyframes == [0]
    assert avc_index([b'', first + second, second]).unreliable_reason == ''  # as in the header
    assert avc_index([b'', other, b'']).unreliable_reason != ''
    assert avc_index([b'', b'', other]).unreliable_reason != ''
    # Not as in the header, but the same wherever decoding starts.
    assert avc_index([other, other], (), starts=2).unreliable_reason == ''
    assert avc_index([other, b''], (), starts=2).unreliable_reason != ''
    assert avc_index([other, first], (), starts=2).unreliable_reason != ''


@pytest.mark.parametrize('kind', ['new_extradata', 'param_change'])
def test_settings_that_the_container_changes(kind):
    index = index_of([0, 1, 2], {0}, reorders=False, depth=0, side_data={1: kind})
    assert 'settings' in index.unreliable_reason
    assert not index_of([0, 1, 2], {0}, reorders=False, depth=0,
                        side_data={1: 'a53_cc'}).unreliable_reason


def test_a_packet_without_a_picture_is_an_error_of_the_decoder_of_h264():
    damaged = index_of([0, 1, 2], {0, 1}, codec='h264', reorders=False, depth=0,
                       header=b'\1\0\0\0\1', data={
                           0: b'\0\2\x65\x88', 1: bytes(9), 2: b'\0\2\x0c\xff'})
    assert damaged.unreliable_reason == '' and damaged.keyframes == [0]
    assert not damaged.disposable  # or the damage would go unnoticed


def test_a_packet_without_a_picture():
    assert 'one frame' in index_of([0, 2, 1], {0}, data={0: HIDDEN_KEY}).unreliable_reason


@pytest.mark.parametrize(('pts', 'depth'), [
    ([0, 4, 2, 1, 3], 1),  # needs 2: a decoder that expects less drops a frame
    ([0, 5, 1, 3, 4, 6], 2),  # a refresh shows all that precede it
    ([0, 9, 1, 8, 2, 3], 2)])
def test_time_stamps_that_no_decoder_returns_in_order(pts, depth):
    data = dict(enumerate([KEY, INTER, INTER, INTER, KEY, INTER]))
    assert index_of(pts, {0, 4}, depth=depth, data=data).unreliable_reason != ''


def test_decoding_times_in_one_of_two_groups():
    index = index_of([0, 2, 1, 3, 4, 5], {0, 3}, codec='hevc', header=b'\1' + bytes(20) + b'\1',
                     data={i: b'\0\4' + bytes([(19 if i in (0, 3) else 1) << 1]) + b'\1\x80\0'
                           for i in range(6)})
    assert 'decoding order' in index.unreliable_reason


def test_where_hevc_videos_are_joined_only_instant_refreshes_are_starts():
    def keyframes(kinds: list[int]) -> list[int]:
        data = {i: b'\0\4' + bytes([kind << 1]) + b'\1\x80\0' for i, kind in enumerate(kinds)}
        return index_of(list(range(len(kinds))), set(range(len(kinds))), codec='hevc', data=data,
                        header=b'\1' + bytes(20) + b'\1', reorders=False, depth=0).keyframes

    assert keyframes([19, 1, 21, 1, 21]) == [0, 2, 4]
    assert keyframes([19, 1, 21, 1, 19, 21]) == [0, 4]
