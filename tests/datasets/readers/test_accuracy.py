"""Random access equals a sequential decode, for every kind of file and every backend."""
import os
from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.helpers.video_cases import CASES
from tests.helpers.videos import draw_frame, make_video, read_frame_number
from vicmae_mm.datasets.readers import IndexStore, VideoReader, open_video
from vicmae_mm.datasets.readers.kept_index.indexed_reader import IndexedReader
from vicmae_mm.datasets.readers.pyav_reader import PyAVReader

# What each case must contain to be a case: a wrong build would test nothing.
COUNTED = {
    'cut_inside_gop', 'cut_leading_frames', 'cut_intra_refresh', 'edit_list_open_gop',
    'hevc_open_cut', 'hevc_inside_gop', 'mpeg4_avi', 'h264_avi', 'raw_h264', 'mpeg2_ps',
    'webm_vp8', 'decoding_times_only', 'equal_times', 'flv', 'mpeg_ts', 'two_frames', 'mpeg4',
    'flagged_mpeg4', 'mjpeg', 'not_coded', 'old_encoder', 'two_descriptions',
    'two_descriptions_hevc', 'joined_coding', 'joined_refresh', 'joined_sizes',
    'joined_reordering', 'joined_profiles', 'joined_hevc', 'joined_hevc_sizes', 'joined_vp9',
    'joined_av1'
}
NOT_FOR_OTHERS = COUNTED | {
    'edit_list', 'open_gop', 'hevc', 'intra_refresh', 'rotated_90', 'rotated_180', 'rotated_270',
    'joined_hevc_alike', 'fragmented', *[name for name in CASES if name.startswith('flagged')]
}
# Rotated by what the container says; the packets alone do not say it.
CONTAINER_ONLY = {'rotated_90', 'rotated_180', 'rotated_270'}
DECORD_CANNOT_OPEN = {'mkv_without_length', 'av1'}
TURNS = {'rotated_90': -1, 'rotated_180': 2, 'rotated_270': 1}  # counter-clockwise quarters


def decode_from_start(path: Path, turns: int = 0) -> list[np.ndarray]:
    """The truth: PyAV's own sequential decode, rotated by what the test wrote into the file."""
    with av.open(str(path)) as container:
        return [np.rot90(frame.to_ndarray(format='rgb24'), turns)
                for frame in container.decode(video=0)]


@pytest.fixture(scope='module')
def case(tmp_path_factory: pytest.TempPathFactory):
    """Build a case once: name -> (path, frames of a decode from the start)."""
    @cache
    def build(name: str) -> tuple[Path, list[np.ndarray]]:
        try:
            path = CASES[name](tmp_path_factory.mktemp(name))
        except av.codec.codec.UnknownCodecError as error:
            pytest.skip(f'this PyAV has no encoder {error}')
        return path, decode_from_start(path, TURNS.get(name, 0))

    return build


def requests_for(truth: list[np.ndarray]) -> list[list[int]]:
    """Frames alone, in random order, then random groups."""
    rng = np.random.default_rng(0)
    return [[int(i)] for i in rng.permutation(len(truth))[:30]] + [
        rng.integers(0, len(truth), rng.integers(2, 6)).tolist() for _ in range(8)]


def wrong_frames(reader: VideoReader, truth: list[np.ndarray],
                 requests: list[list[int]] | None = None) -> list[int]:
    """The frames that differ in any bit."""
    return [i for request in requests or requests_for(truth)
            for i, frame in zip(request, reader.get_frames(request), strict=True)
            if not np.array_equal(frame, truth[i])]


@pytest.mark.parametrize('name', CASES)
def test_pyav_equals_a_decode_from_the_start(case, name):
    """A reader for every request, as in training: one that was contradicted counts from then on."""
    path, truth = case(name)
    for request in requests_for(truth):
        with open_video(str(path)) as reader:
            assert reader.num_frames == len(truth)
            assert bool(reader.index.unreliable_reason) == (name in COUNTED)
            assert wrong_frames(reader, truth, [request]) == []
            assert bool(reader.index.unreliable_reason) == (name in COUNTED)  # not contradicted
    with open_video(str(path)) as reader:
        assert wrong_frames(reader, truth) == []


@pytest.mark.parametrize('name', CASES)
def test_with_a_kept_index_as_well(case, name, tmp_path):
    path, truth = case(name)
    requests = requests_for(truth)
    for i, request in enumerate(requests[::13]):
        with open_video(str(path), store=IndexStore(str(tmp_path / str(i)))) as first:
            assert not isinstance(first, IndexedReader)
            assert wrong_frames(first, truth, [request]) == []
    store = IndexStore(str(tmp_path / '0'))
    with open_video(str(path)) as plain:
        expected = (plain.num_frames, plain.fps)
    for request in requests[::2]:
        with open_video(str(path), store=store) as reader:
            assert isinstance(reader, IndexedReader) == (name not in CONTAINER_ONLY)
            assert (reader.num_frames, reader.fps) == expected
            assert wrong_frames(reader, truth, [request]) == []
            assert getattr(reader, '_fallback', None) is None


@pytest.mark.parametrize('name', sorted(set(CASES) - NOT_FOR_OTHERS - DECORD_CANNOT_OPEN))
def test_decord_equals_its_own_decode_from_the_start(case, name):
    decord = pytest.importorskip('decord')
    path, truth = case(name)
    video = decord.VideoReader(str(path), num_threads=1)
    own = [video.next().asnumpy() for _ in truth]
    with open_video(str(path), 'decord') as reader:
        assert not isinstance(reader, PyAVReader)
        assert reader.num_frames == len(truth)
        assert wrong_frames(reader, own) == []
    assert same_pictures(own, truth)


@pytest.mark.parametrize('name', sorted(set(CASES) - NOT_FOR_OTHERS))
def test_torchcodec_equals_its_own_decode_in_order(case, name):
    decoders = torchcodec_or_skip()
    path, truth = case(name)
    own = list(decoders.VideoDecoder(str(path), seek_mode='exact', dimension_order='NHWC')
               .get_frames_in_range(0, len(truth)).data.numpy())
    with open_video(str(path), 'torchcodec') as reader:
        assert not isinstance(reader, PyAVReader)
        assert reader.num_frames == len(truth)
        assert wrong_frames(reader, own) == []
    assert same_pictures(own, truth)


@pytest.mark.parametrize('backend', ['decord', 'torchcodec'])
@pytest.mark.parametrize('name', sorted(NOT_FOR_OTHERS | DECORD_CANNOT_OPEN))
def test_another_backend_hands_over_what_it_would_get_wrong(case, name, backend):
    torchcodec_or_skip() if backend == 'torchcodec' else pytest.importorskip('decord')
    path, truth = case(name)
    with open_video(str(path), backend) as reader:
        assert isinstance(reader, PyAVReader) or (
            backend == 'torchcodec' and name in DECORD_CANNOT_OPEN)
        assert reader.num_frames == len(truth)
        frames = reader.get_frames(range(len(truth))[::-1])
    assert same_pictures(frames[::-1], truth)


def same_pictures(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    """Whether two libraries decoded the same frames, which may differ by the chroma's rounding."""
    return (len(one) == len(other) and [f.shape for f in one] == [f.shape for f in other]
            and [read_frame_number(f) for f in one] == [read_frame_number(f) for f in other])


def torchcodec_or_skip():
    try:
        from torchcodec import decoders
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f'torchcodec does not load: {str(error).strip().splitlines()[0]}')
    return decoders


def test_cases_are_what_they_claim(case):
    def packets(name: str) -> list[av.Packet]:
        with av.open(str(case(name)[0])) as container:
            return [packet for packet in container.demux(video=0) if packet.size]

    for name in ('edit_list', 'edit_list_open_gop', 'cut_inside_gop'):
        assert b'elst' in case(name)[0].read_bytes()
        assert any(packet.is_discard for packet in packets(name))
        assert len(packets(name)) > len(case(name)[1])
    for name in ('open_gop', 'hevc', 'cut_leading_frames', 'hevc_open_cut'):
        found = packets(name)
        assert any(before.is_keyframe and packet.pts < before.pts
                   for before, packet in pairwise(found))
    assert not packets('cut_inside_gop')[0].is_keyframe
    steps = np.diff(sorted(packet.pts for packet in packets('vfr')))
    assert steps.max() >= 4 * steps.min()
    with av.open(str(case('h264_avi')[0])) as container:  # stamps, but not the true ones
        times = [frame.pts for frame in container.decode(video=0)]
    assert times != sorted(times)
    with av.open(str(case('mkv_without_length')[0])) as container:
        assert not container.streams.video[0].frames and not container.duration
    assert case('rotated_90')[1][0].shape == (64, 48, 3)


def test_rotated_video_is_upright(tmp_path):
    """Frames stored on their side, with their rotation in the file, come out as drawn."""
    for degrees in (90, 180, 270):
        path = make_video(tmp_path / f'{degrees}.mp4', 3, rotation=degrees)
        drawn = np.rot90(draw_frame(2), -degrees // 90)
        with open_video(str(path)) as reader:
            frame = reader.get_frames([2])[0]
        assert frame.shape == drawn.shape and frame.flags.c_contiguous
        assert np.abs(frame[::8, ::8].astype(int) - drawn[::8, ::8]).mean() < 40


def test_mirrored_video_is_upright(tmp_path):
    path = make_video(tmp_path / 'mirror.mp4', 1, rotation=180)
    data = path.read_bytes()
    identity = data.index(b'\xff\xff\x00\x00' + bytes(12) + b'\xff\xff\x00\x00')
    path.write_bytes(data[:identity + 16] + b'\x00\x01\x00\x00' + data[identity + 20:])
    stored = decode_from_start(path)[0]
    with open_video(str(path)) as reader:
        assert np.array_equal(reader.get_frames([0])[0], stored[:, ::-1])


REAL_CLIPS = os.environ.get('VICMAE_TEST_DATA')


@pytest.mark.skipif(not REAL_CLIPS, reason='VICMAE_TEST_DATA does not name a folder of clips')
def test_real_clips(tmp_path):
    lines = Path(REAL_CLIPS, 'videos.txt').read_text().splitlines()
    paths = [Path(REAL_CLIPS, 'videos', line.rsplit(maxsplit=1)[0]) for line in lines]
    for path in sorted(paths, key=os.path.getsize)[:12]:
        truth = decode_from_start(path)
        for store in (None, IndexStore(str(tmp_path)), IndexStore(str(tmp_path))):
            with open_video(str(path), store=store) as reader:
                assert reader.num_frames == len(truth), path
                for i in np.random.default_rng(0).permutation(len(truth))[:10]:
                    assert np.array_equal(reader.get_frames([i])[0], truth[i]), (path, i)
