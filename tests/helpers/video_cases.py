"""One small video for every kind of file a reader must get right, built where a test asks."""
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

from .videos import join, make_video, remux

OPEN_GOP = {'x264-params': 'open-gop=1'}
DATA = Path(__file__).parents[1] / 'datasets' / 'readers' / 'data'
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


def _joined(folder: Path, suffix: str, codec: str, *changes: dict) -> Path:
    """Videos of 20 frames, one after the other, each encoded in its own way."""
    params = {'libx264': 'x264-params', 'libx265': 'x265-params'}.get(codec)
    parts = []
    for i, change in enumerate(changes):
        options = dict(change.get('options', {}))
        if params is not None:  # parameter sets in packets as well
            fixed = 'repeat-headers=1:log-level=error:pools=1:scenecut=0:'
            options = {params: fixed + change.get('params', '')}
        parts.append(make_video(folder / f'part{i}{suffix}', 20, codec=codec, gop=8, **{
            name: value for name, value in change.items() if name not in ('params', 'options')
        }, options=options))
    return join(parts, folder / f'joined{suffix}')


def _flagged(folder: Path, codec: str, suffix: str, **changes: Any) -> Path:
    """Every packet marked as a keyframe."""
    source = make_video(folder / f'source{suffix}', 30, codec=codec, **changes)
    return join([source], folder / f'flagged{suffix}', all_keyframes=True)


def _not_coded(folder: Path) -> Path:
    """MPEG-4 with packets that say "as before", which give no frame; as Xvid writes them."""
    source = make_video(folder / 'whole.mkv', 30, codec='mpeg4', bframes=0)
    with av.open(str(source)) as inp, av.open(str(folder / 'not_coded.mkv'), 'w') as out:
        copy = out.add_stream_from_template(inp.streams.video[0])
        for i, packet in enumerate(inp.demux(inp.streams.video[0])):
            if packet.size and i % 6 == 4:
                # ISO 14496-2, 6.2.5: P, the same second, five bits of time, vop_coded = 0
                bits = '01' '0' '1' f'{i % 25:05b}' '1' '0' '01111'
                empty = av.Packet(b'\0\0\1\xb6' + int(bits, 2).to_bytes(2, 'big'))
                empty.pts, empty.dts, empty.time_base = packet.pts, packet.dts, packet.time_base
                packet = empty
            if packet.size:
                packet.stream = copy
                out.mux(packet)
    return folder / 'not_coded.mkv'


def _of_an_old_encoder(folder: Path) -> Path:
    """Lossless 4:4:4, which a decoder told the encoder's old version decodes differently."""
    path = make_video(folder / 'old.mp4', 30, pix_fmt='yuv444p', options={'x264-params': 'qp=0'})
    data = path.read_bytes()
    at = data.index(b'x264 - core ') + len(b'x264 - core ')
    path.write_bytes(data[:at] + b'142' + data[at + 3:])
    return path


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
    'joined_alike': lambda d: _joined(d, '.mp4', 'libx264', {}, {}),
    'joined_coding': lambda d: _joined(d, '.mp4', 'libx264', {'params': 'open-gop=1'}, {
        'params': 'open-gop=1:cabac=0:ref=4'}),
    'joined_refresh': lambda d: _joined(d, '.mkv', 'libx264', *[
        {'bframes': 0, 'params': f'intra-refresh=1:cabac={cabac}'} for cabac in (1, 0)]),
    'joined_sizes': lambda d: _joined(d, '.mp4', 'libx264', {}, {'size': (96, 64)}),
    'joined_reordering': lambda d: _joined(d, '.mkv', 'libx264', {'bframes': 0}, {
        'bframes': 5, 'params': 'b-pyramid=normal:b-adapt=0'}),
    'joined_profiles': lambda d: _joined(d, '.mkv', 'libx264', {}, {'pix_fmt': 'yuv444p'}, {}),
    'joined_hevc': lambda d: _joined(d, '.mkv', 'libx265', {'bframes': 3}, {
        'bframes': 3, 'params': 'sao=1'}, {'bframes': 3}),
    'joined_hevc_sizes': lambda d: _joined(d, '.mp4', 'libx265', {}, {'size': (96, 64)}),
    'joined_hevc_alike': lambda d: _joined(d, '.mp4', 'libx265', {}, {}),
    'joined_vp9': lambda d: _joined(d, '.webm', 'libvpx-vp9', {}, {'size': (96, 64)}),
    'joined_av1': lambda d: _joined(d, '.mp4', 'libsvtav1', {'options': {'preset': '12'}}, {
        'size': (96, 64), 'options': {'preset': '12'}}),
    'two_descriptions': lambda d: DATA / 'joined_two_stsd_h264.mp4',
    'two_descriptions_hevc': lambda d: DATA / 'joined_two_stsd_hevc.mp4',
    'flagged_h264': lambda d: _flagged(d, 'libx264', '.mp4'),
    'flagged_h264_mkv': lambda d: _flagged(d, 'libx264', '.mkv'),
    'flagged_hevc': lambda d: _flagged(d, 'libx265', '.mp4', bframes=0),
    'flagged_vp9': lambda d: _flagged(d, 'libvpx-vp9', '.mp4'),
    'flagged_av1': lambda d: _flagged(d, 'libsvtav1', '.mp4', options={'preset': '12'}),
    'flagged_mpeg4': lambda d: _flagged(d, 'mpeg4', '.mp4'),
    'mjpeg': lambda d: make_video(d / 'a.mkv', 20, codec='mjpeg', bframes=0, options={
        'strict': 'unofficial'}),
    'not_coded': _not_coded,
    'old_encoder': _of_an_old_encoder,
}
