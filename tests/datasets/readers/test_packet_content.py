"""What the headers of hand-written packets say; test_accuracy.py has real ones."""
import pytest

from vicmae_mm.datasets.readers.packet_content import PacketContent, read_content

AVC = b'\1\0\0\0\1' + bytes(20)  # lengths of two bytes
AVC_444 = b'\1\xf4' + AVC[2:]
HEVC = b'\1' + bytes(20) + b'\1'
SPS, PPS, SEI, REFERENCE, DISPOSABLE, IDR = 0x67, 0x68, 0x06, 0x41, 0x01, 0x65  # first bytes
FIRST, NEXT = b'\x80\0', b'\x40\0'  # how slices begin: the first of a picture, and others


def units(*contents: bytes) -> memoryview:
    return memoryview(b''.join(len(unit).to_bytes(2, 'big') + unit for unit in contents))


def avc(*headers: int, header: bytes = AVC) -> PacketContent:
    return read_content(units(*(bytes([h]) + FIRST for h in headers)), 'h264', header)


def hevc(*kinds: int, begin: bytes = FIRST, layer: int = 0) -> PacketContent:
    return read_content(units(*(bytes([kind << 1, layer << 3 | 1]) + begin for kind in kinds)),
                        'hevc', HEVC)


@pytest.mark.parametrize(('headers', 'disposable', 'refreshes'), [
    ([DISPOSABLE], True, False), ([SEI, DISPOSABLE], True, False), ([REFERENCE], False, False),
    ([SPS, DISPOSABLE], False, False), ([SPS, SEI, IDR], False, True)])
def test_h264(headers, disposable, refreshes):
    content = avc(*headers)
    assert (content.disposable, content.starts, content.refreshes) == (
        disposable, refreshes, refreshes)
    assert content.pictures == 1
    assert content.kept == ((bytes([SPS]) + FIRST,) if SPS in headers else ())


def test_slices_of_a_picture_are_counted_once():
    data = units(bytes([IDR]) + FIRST, bytes([IDR]) + NEXT)
    assert read_content(data, 'h264', AVC).pictures == 1
    assert avc(REFERENCE, REFERENCE).pictures == 2
    assert avc(SEI).pictures == 0  # nothing was coded


@pytest.mark.parametrize('data', [b'\0\3\1\x85', b'\0\3\1\x85\5\0', b'\0\2\1\x85\xff\xff\1\2'])
def test_a_damaged_packet_is_left_to_the_decoder(data):
    assert read_content(memoryview(data), 'h264', AVC) == PacketContent(1)


def test_units_without_lengths_are_not_read():
    data = memoryview(b'\0\0\0\1\x65\x80\0')
    assert read_content(data, 'h264', b'\0\0\0\1\x67' + bytes(20)).pictures == 0
    assert read_content(data, 'h264', b'').pictures == 0
    assert read_content(data, 'h264', b'\1\0\0\0\3' + bytes(20)).pictures == 0  # one byte long


@pytest.mark.parametrize(('build', 'stays'), [(142, True), (150, True), (151, False),
                                              (164, False)])
def test_an_old_encoder_of_444_video_stays_in_the_decoder(build, stays):
    data = units(b'\x06\5' + f'x264 - core {build} r1'.encode(), bytes([IDR]) + FIRST)
    assert bool(read_content(data, 'h264', AVC_444).kept) == stays
    assert not read_content(data, 'h264', AVC).kept


@pytest.mark.parametrize(('kind', 'starts', 'refreshes', 'stays'), [
    (1, False, False, False), (9, False, False, False), (19, True, True, False),
    (20, True, True, False), (21, True, False, False), (16, False, False, True)])
def test_hevc(kind, starts, refreshes, stays):
    content = hevc(kind)
    assert (content.pictures, content.starts, content.refreshes) == (1, starts, refreshes)
    assert bool(content.kept) == stays


def test_hevc_pictures_that_drop_others():
    assert hevc(19, begin=b'\xc0\0').kept  # no_output_of_prior_pics_flag
    assert len(hevc(32, 33, 34, 20).kept) == 3
    assert hevc(1, 36).kept == (b'\x48\1' + FIRST,)  # an end of sequence
    assert hevc(1, layer=1).pictures == 0


@pytest.mark.parametrize(('data', 'pictures', 'key'), [
    (b'\x82ISB\1\2\3\4\0', 1, True),
    (b'\x80ISB\1\2\3\4\0', 0, True),  # hidden
    (b'\x86\0\0\0', 1, False), (b'\x84\0\0\0', 0, False),
    (b'\x88', 1, False),  # shows an earlier one
    (b'\xb1ISB\1\2\3\4\0', 1, True),  # profile 3
    (b'\x80ISB\1\2\3\4\xc1\1\1\xc1', 1, True)])  # two in one, the first hidden
def test_vp9(data, pictures, key):
    content = read_content(memoryview(data), 'vp9', b'')
    assert (content.pictures, content.starts, content.refreshes) == (pictures, key, key)
    assert content.kept == ((b'\1\2\3\4',) if key else ())


SEQUENCE, DELIMITER = b'\x0a\2\xaa\xbb', b'\x12\0'


@pytest.mark.parametrize(('data', 'pictures', 'starts'), [
    (DELIMITER + SEQUENCE + b'\x32\1\x10', 1, True),
    (DELIMITER + b'\x32\1\x10', 1, False),  # what it depends on is elsewhere
    (SEQUENCE + b'\x32\1\x00', 0, False),  # a key frame that is hidden
    (SEQUENCE + b'\x32\1\x30', 1, False),
    (b'\x32\1\x20\x32\1\x30', 1, False),  # hidden, then shown
    (b'\x1a\1\x80', 1, False),  # shows an earlier one
    (SEQUENCE + b'\x30\x10', 1, True),  # its size is that of the packet
    (SEQUENCE + b'\x36\0\x81\0\x10' + bytes(128), 1, True)])  # an extension; a longer size
def test_av1(data, pictures, starts):
    content = read_content(memoryview(data), 'av1', b'')
    assert (content.pictures, content.starts) == (pictures, starts)
    assert content.kept == ((b'\xaa\xbb',) if SEQUENCE in data else ())


@pytest.mark.parametrize(('codec', 'data'), [
    ('vp9', b''), ('av1', b'\x0a'), ('av1', b'\x0a\2\xaa'), ('vp8', b'\0'), ('hevc', b'\0\1\2')])
def test_nothing_is_found_in_what_is_cut_off_or_unknown(codec, data):
    assert read_content(memoryview(data), codec, HEVC).pictures == 0


@pytest.mark.parametrize(('headers', 'joined'), [([], True), ([SPS], True), ([SPS, PPS], False)])
def test_another_video_begins_without_its_parameter_sets(headers, joined):
    sei = b'\x06\5' + b'x264 - core 164 r3095 - options: cabac=0'
    data = units(*(bytes([h]) + FIRST for h in headers), sei, bytes([IDR]) + FIRST)
    assert read_content(data, 'h264', AVC).joined == joined
    assert not avc(SEI, IDR).joined
