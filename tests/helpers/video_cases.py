"""One small video for every kind of file a reader must get right, built where a test asks."""
from collections.abc import Callable
from pathlib import Path

from .videos import make_video, remux

OPEN_GOP = {'x264-params': 'open-gop=1'}
# Uneven steps, as in a screen recording: no two sixths of the video have the same rate.
VFR_TIMES = [i * 2 + (i % 3 == 0) + (i > 10) * 7 for i in range(40)]


def _cut(folder: Path, suffix: str = '.mp4', first_packet: int = 12, start_frame: int = 17,
         options: dict[str, str] | None = None, codec: str = 'libx264') -> Path:
    """40 frames cut at ``start_frame`` by copying packets, as ``ffmpeg -ss T -c copy`` does."""
    source = make_video(folder / f'uncut{suffix}', 40, options=options, codec=codec)
    return remux(source, folder / f'cut{suffix}', first_packet, start_frame)


def _with_decoding_times_only(folder: Path) -> Path:
    """B-frames in an mp4 whose muxer knew only the decoding order, as of an old recorder."""
    source = make_video(folder / 'whole.mp4', 40)
    return remux(source, folder / 'dts.mp4', lose_pts=True)


def _without_length(folder: Path) -> Path:
    """A matroska file as a live recorder leaves it: no duration, no frame count, no cues."""
    return make_video(folder / 'live.mkv', 40, muxer_options={'live': '1'})


CASES: dict[str, Callable[[Path], Path]] = {
    'cfr': lambda d: make_video(d / 'cfr.mp4', 40),
    'long_gop': lambda d: make_video(d / 'long.mp4', 60, gop=250, bframes=3),
    'all_intra': lambda d: make_video(d / 'intra.mp4', 12, gop=1, bframes=0),
    'no_bframes': lambda d: make_video(d / 'p.mp4', 30, bframes=0),
    'b_pyramid': lambda d: make_video(d / 'b.mp4', 40, bframes=8, options={
        'x264-params': 'b-adapt=0:b-pyramid=normal:ref=4'}),
    'intra_refresh': lambda d: make_video(d / 'refresh.mp4', 40, bframes=0, options={
        'x264-params': 'intra-refresh=1'}),
    'interlaced': lambda d: make_video(d / 'tff.mp4', 40, size=(64, 64), options={
        'x264-params': 'tff=1'}),
    'audio': lambda d: make_video(d / 'audio.mp4', 40, audio=True),
    'vfr': lambda d: make_video(d / 'vfr.mp4', 40, pts=VFR_TIMES),
    'vfr_mkv': lambda d: make_video(d / 'vfr.mkv', 40, pts=VFR_TIMES),
    'open_gop': lambda d: make_video(d / 'open.mp4', 40, options=OPEN_GOP),
    'edit_list': lambda d: _cut(d),
    'edit_list_open_gop': lambda d: _cut(d, first_packet=11, options=OPEN_GOP),
    'cut_inside_gop': lambda d: _cut(d, first_packet=15),
    'cut_leading_frames': lambda d: _cut(d, '.mkv', 11, 10, options=OPEN_GOP),
    'cut_intra_refresh': lambda d: _cut(d, '.mkv', 12, 12, options={
        'x264-params': 'intra-refresh=1:bframes=0'}),
    'hevc': lambda d: make_video(d / 'hevc.mp4', 40, codec='libx265', bframes=3),
    'hevc_open_cut': lambda d: _cut(d, '.mkv', 10, 7, codec='libx265'),
    'hevc_inside_gop': lambda d: _cut(d, '.mkv', 3, 7, codec='libx265'),
    'mpeg4': lambda d: make_video(d / 'mpeg4.mp4', 40, codec='mpeg4'),
    'mpeg4_avi': lambda d: make_video(d / 'mpeg4.avi', 40, codec='mpeg4'),
    'h264_avi': lambda d: make_video(d / 'h264.avi', 40),
    'raw_h264': lambda d: make_video(d / 'raw.264', 40, container_format='h264'),
    'mpeg2_ps': lambda d: make_video(d / 'mpeg2.mpg', 40, codec='mpeg2video'),
    'mkv': lambda d: make_video(d / 'a.mkv', 40),
    'mkv_without_length': _without_length,
    'webm_vp9': lambda d: make_video(d / 'vp9.webm', 40, codec='libvpx-vp9'),
    'webm_vp8': lambda d: make_video(d / 'vp8.webm', 40, codec='libvpx', options={'b': '90000'}),
    'av1': lambda d: make_video(d / 'av1.mp4', 20, codec='libsvtav1', options={'preset': '12'}),
    'decoding_times_only': _with_decoding_times_only,
    'equal_times': lambda d: make_video(d / 'fast.mkv', 40, fps=5000),
    'flv': lambda d: make_video(d / 'a.flv', 40),
    'fragmented': lambda d: make_video(d / 'fragmented.mp4', 40, muxer_options={
        'movflags': 'frag_keyframe+empty_moov+default_base_moof'}),
    'mpeg_ts': lambda d: make_video(d / 'a.ts', 40),
    'rotated_90': lambda d: make_video(d / 'r90.mp4', 20, rotation=90),
    'rotated_180': lambda d: make_video(d / 'r180.mp4', 20, rotation=180),
    'rotated_270': lambda d: make_video(d / 'r270.mp4', 20, rotation=270),
    'odd_444': lambda d: make_video(d / 'odd.mp4', 20, size=(65, 49), pix_fmt='yuv444p'),
    'odd_vp9': lambda d: make_video(d / 'odd.webm', 20, size=(65, 49), codec='libvpx-vp9'),
    'ten_bit': lambda d: make_video(d / 'ten.mp4', 20, pix_fmt='yuv420p10le'),
    'one_frame': lambda d: make_video(d / 'one.mp4', 1),
    'two_frames': lambda d: make_video(d / 'two.mp4', 2),
    'three_frames': lambda d: make_video(d / 'three.mp4', 3),
}
