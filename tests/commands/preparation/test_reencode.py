"""Encoding again keeps frames, times, orientation and colours."""
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.helpers.video_cases import CASES
from tests.helpers.videos import draw_frame, make_audio, make_video, read_frame_number
from vicmae_mm.commands.preparation.reencode import (
    JobResult,
    ReencodeJob,
    ReencodeSettings,
    reencode,
    target_size,
)
from vicmae_mm.datasets.readers import open_video

FINE = ReencodeSettings(crf=8)


def encode(source: Path, settings: ReencodeSettings = FINE) -> Path:
    target = source.parent / 'new/x.mp4'
    done = reencode(ReencodeJob(str(source), str(target), settings))
    assert done.problem == '' and done.size == target.stat().st_size
    assert os.listdir(target.parent) == ['x.mp4']
    return target


def damage(path: Path) -> Path:
    """Write nonsense over the coded data of a packet in the middle."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        begin, size = packets[len(packets) // 2].pos, packets[len(packets) // 2].size
    data = bytearray(path.read_bytes())
    data[begin:begin + size] = b'\xff' * size
    path.write_bytes(data)
    return path


def frames_of(path: Path) -> list[np.ndarray]:
    with open_video(str(path)) as video:
        return video.get_frames(range(video.num_frames))


def decode(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.mark.parametrize('case', [
    'cfr', 'long_gop', 'all_intra', 'no_bframes', 'audio', 'vfr', 'vfr_mkv', 'open_gop',
    'edit_list', 'edit_list_open_gop', 'hevc', 'mpeg4_avi', 'mkv_without_length', 'webm_vp9',
    'mpeg_ts', 'rotated_90', 'rotated_180', 'rotated_270', 'odd_444', 'ten_bit', 'one_frame'])
def test_every_kind_of_file_keeps_its_frames(case, tmp_path):
    source = CASES[case](tmp_path)
    before, target = frames_of(source), encode(source)
    after = frames_of(target)
    height, width = before[0].shape[:2]
    assert after[0].shape == (height // 2 * 2, width // 2 * 2, 3)
    assert len(after) == len(before)
    if before[0].shape == after[0].shape:
        errors = np.array([[np.abs(a - b).mean() for b in np.stack(before).astype(int)]
                           for a in np.stack(after).astype(int)])
        assert errors.diagonal().max() < 4 and (errors.argmin(1) == np.arange(len(after))).all()
    else:
        assert [read_frame_number(f) for f in after] == [read_frame_number(f) for f in before]
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ['video']
        assert container.streams.video[0].codec_context.name == 'h264'
        assert container.streams.video[0].codec_context.pix_fmt == 'yuv420p'


def test_variable_frame_rate_keeps_its_times(tmp_path):
    source = CASES['vfr'](tmp_path)
    before, after = ([frame.time for frame in decode(path)] for path in (source, encode(source)))
    assert np.diff(before).max() > 3 * np.diff(before).min()
    assert np.allclose(np.array(after), np.array(before) - before[0], atol=1e-6)


def test_files_without_times_get_rising_ones(tmp_path):
    target = encode(make_video(tmp_path / 'raw.264', 20, fps=10, container_format='h264',
                                bframes=0))
    steps = np.diff([frame.time for frame in decode(target)])
    assert len(steps) == 19 and (steps > 0).all() and np.allclose(steps, steps[0])


def test_keyframes_and_frame_types_are_chosen_again(tmp_path):
    """x264 repeats the types of the frames it is given unless they are reset."""
    source = make_video(tmp_path / 'a.mp4', 60, size=(64, 48), gop=7, bframes=0)
    frames = decode(encode(source, ReencodeSettings(gop=20)))
    keyframes = [i for i, frame in enumerate(frames) if frame.key_frame]
    assert 7 not in keyframes and 10 < max(np.diff(keyframes)) <= 20


def test_b_frames_come_back(tmp_path):
    source = tmp_path / 'still.mp4'
    with av.open(str(source), 'w') as out:
        stream = out.add_stream('libx264', rate=25)
        stream.width, stream.height, stream.codec_context.max_b_frames = 64, 48, 0
        picture = draw_frame(5)
        for i in range(24):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, i // 4, 1), format='rgb24')
            frame.pts = i
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    kinds = [int(frame.pict_type) for frame in decode(encode(source, ReencodeSettings()))]
    assert 3 not in [int(frame.pict_type) for frame in decode(source)] and 3 in kinds


@pytest.mark.parametrize('size, short_side, expected', [
    ((340, 256), 256, (340, 256)), ((1280, 720), 256, (456, 256)), ((720, 1280), 256, (256, 456)),
    ((320, 240), 256, (320, 240)), ((65, 49), 256, (64, 48)), ((1, 1), 256, (2, 2)),
    ((640, 480), 255, (340, 254)), ((3000, 20), 10, (1500, 10))])
def test_sizes_are_even_and_never_grow(size, short_side, expected):
    assert target_size(*size, short_side) == expected


def test_scaling(tmp_path):
    source = make_video(tmp_path / 'big.mp4', 3, size=(256, 192))
    frames = frames_of(encode(source, ReencodeSettings(short_side=96, crf=8)))
    assert frames[0].shape == (96, 128, 3)
    assert [read_frame_number(frame) for frame in frames] == [0, 1, 2]


@pytest.mark.parametrize('rotation, shape', [(0, (96, 128, 3)), (90, (128, 96, 3))])
def test_scaling_of_rotated_frames(tmp_path, rotation, shape):
    source = make_video(tmp_path / 'big.mp4', 2, size=(256, 192), rotation=rotation)
    assert frames_of(encode(source, ReencodeSettings(short_side=96, crf=8)))[0].shape == shape


@pytest.mark.parametrize('pix_fmt, color_range', [('yuvj420p', 2), ('yuv420p', 0),
                                                  ('yuvj444p', 2)])
def test_colour_range_is_kept(tmp_path, pix_fmt, color_range):
    source = make_video(tmp_path / 'a.mp4', 3, pix_fmt=pix_fmt)
    before, after = decode(source)[0], decode(encode(source))[0]
    assert after.color_range == before.color_range == color_range
    luma = [frame.to_ndarray(format='gray').astype(int) for frame in (before, after)]
    assert abs(luma[0] - luma[1]).mean() < 2


def test_rgb_files_keep_their_colours(tmp_path):
    source = make_video(tmp_path / 'a.mp4', 3, codec='libx264rgb', pix_fmt='bgr24')
    before, after = frames_of(source)[0], frames_of(encode(source))[0]
    # 4:2:0 blurs colours sideways, so compare what is left of them
    assert abs(before.mean((0, 1)) - after.mean((0, 1))).max() < 4


def test_colour_space_is_kept(tmp_path):
    source = make_video(tmp_path / 'a.mp4', 3, options={
        'x264-params': 'colormatrix=bt709:colorprim=bt709:transfer=bt709'})
    frame = decode(encode(source))[0]
    assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)
    assert abs(frames_of(source)[0].astype(int) - frames_of(encode(source))[0]).mean() < 2.5


def test_pixel_shape_is_kept_and_turned(tmp_path):
    source = make_video(tmp_path / 'a.mp4', 3, options={'x264-params': 'sar=4/3'}, rotation=90)
    with av.open(str(encode(source))) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(3, 4)


def test_bad_files_leave_nothing_behind(tmp_path):
    text, half = tmp_path / 'text.mp4', tmp_path / 'half.mp4'
    text.write_text('not a video')
    half.write_bytes(make_video(tmp_path / 'a.mp4').read_bytes()[:2000])
    for source in (text, half, make_audio(tmp_path / 'sound.mp4'), tmp_path / 'gone.mp4'):
        done = reencode(ReencodeJob(str(source), str(tmp_path / 'new/x.mp4'), FINE))
        assert done == JobResult(done.problem) and done.problem
    assert os.listdir(tmp_path / 'new') == []


def test_frames_that_do_not_decode_make_a_file_bad(tmp_path):
    source = damage(make_video(tmp_path / 'a.mp4', 40))
    done = reencode(ReencodeJob(str(source), str(tmp_path / 'new/x.mp4'), FINE))
    assert done.problem.startswith('does not decode to its end')
    assert os.listdir(tmp_path / 'new') == []


def test_a_full_disk_is_no_fault_of_the_video(tmp_path):
    source = make_video(tmp_path / 'a.mp4', 60)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))  # what a full disk does, nearly
    try:
        with pytest.raises(OSError, match=r'new/x\.mp4'):
            reencode(ReencodeJob(str(source), str(tmp_path / 'new/x.mp4'), FINE))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path / 'new') == []


def test_two_at_once_put_complete_files_in_place(tmp_path):
    job = ReencodeJob(str(make_video(tmp_path / 'a.mp4', 60)), str(tmp_path / 'new/x.mp4'), FINE)
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(reencode, [job, job]))
    assert [one.problem for one in done] == ['', ''] and os.listdir(tmp_path / 'new') == ['x.mp4']
    assert len(frames_of(tmp_path / 'new/x.mp4')) == 60
