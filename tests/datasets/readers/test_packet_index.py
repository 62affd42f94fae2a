"""The index of hand-written packets; test_accuracy.py has real ones."""
from types import SimpleNamespace

import pytest

from vicmae_mm.datasets.readers.packet_index import PacketIndex, is_disposable, is_instant_refresh


def index_of(pts: list[int | None], keyframes: set[int], hidden: set[int] = frozenset(),
             container: str = 'matroska,webm', codec: str = 'vp9', reorders: bool = True):
    """An index of packets with these time stamps, in decoding order."""
    context = SimpleNamespace(codec=SimpleNamespace(canonical_name=codec), extradata=None,
                              has_b_frames=reorders)
    stream = SimpleNamespace(
        codec_context=context,
        container=SimpleNamespace(format=SimpleNamespace(name=container)))
    return PacketIndex.of([
        SimpleNamespace(pts=time, is_keyframe=i in keyframes, is_discard=i in hidden,
                        stream=stream) for i, time in enumerate(pts)], stream)


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


class AvcPacket(bytearray):
    """A packet of H.264 in mp4, whose NAL units have their length in two bytes."""
    stream = SimpleNamespace(codec_context=SimpleNamespace(
        codec=SimpleNamespace(canonical_name='h264'), extradata=b'\1\0\0\0\1'))


PARAMETERS, SEI, REFERENCE, DISPOSABLE, IDR = 0x67, 0x06, 0x41, 0x01, 0x65  # first bytes


@pytest.mark.parametrize(('headers', 'disposable', 'refreshes'), [
    ([DISPOSABLE], True, False), ([SEI, DISPOSABLE, DISPOSABLE], True, False),
    ([REFERENCE], False, False), ([DISPOSABLE, REFERENCE], False, False),
    ([PARAMETERS, DISPOSABLE], False, False), ([PARAMETERS, SEI, IDR], False, True)])
def test_what_an_h264_packet_holds(headers, disposable, refreshes):
    packet = AvcPacket(b''.join(b'\0\3' + bytes([header, 9, 9]) for header in headers))
    assert is_disposable(packet) == disposable
    assert is_instant_refresh(packet) == refreshes


@pytest.mark.parametrize('data', [b'\0\3\1\5', b'\0\3\1\5\5\0', b'\0\2\1\5\xff\xff\1'])
def test_an_incomplete_packet_is_not_left_out(data):
    assert not is_disposable(AvcPacket(data))
