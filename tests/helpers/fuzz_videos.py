"""Random small videos of every kind that tools write, made with the ``ffmpeg`` program.

A seed chooses a codec and its settings, a container, and then a chain of what people do to videos
without encoding them again: join, cut, re-mux, filter, rotate, and mark keyframes wrongly.
"""
import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import av

SIZES = ('128x96', '96x128', '160x96')
CONTAINERS = {
    'libx264': ('mp4', 'mp4', 'mkv', 'mov', 'ts', 'avi', 'fragmented.mp4', 'flv', 'h264'),
    'libx265': ('mp4', 'mp4', 'mkv', 'mov', 'ts', 'fragmented.mp4', 'hevc'),
    'mpeg4': ('mp4', 'mkv', 'avi', 'mov', 'ts', 'fragmented.mp4', '3gp'),
    'libxvid': ('mp4', 'mkv', 'avi', 'mov'),
    'mpeg2video': ('mpg', 'ts', 'mkv', 'mp4', 'mov'),
    'libvpx-vp9': ('webm', 'mp4', 'mkv', 'fragmented.mp4'),
    'libvpx': ('webm', 'mkv'),
    'libaom-av1': ('mp4', 'webm', 'mkv', 'fragmented.mp4'),
    'mjpeg': ('mp4', 'avi', 'mkv', 'mov'),
}
CODECS = (*CONTAINERS, *['libx264'] * 7, *['libx265'] * 3)  # the common ones more often
FILTERS = {
    'libx264': ('dump_extra=freq=keyframe', 'dump_extra=freq=all', 'filter_units=remove_types=6',
                'filter_units=remove_types=7', 'filter_units=remove_types=8|9',
                'h264_metadata=aud=insert', 'h264_metadata=level=5.1', 'h264_redundant_pps'),
    'libx265': ('dump_extra=freq=keyframe', 'filter_units=remove_types=32-34',
                'filter_units=remove_types=39', 'hevc_metadata=aud=insert'),
    'libvpx-vp9': ('vp9_superframe_split', 'vp9_superframe'),
    'libaom-av1': ('av1_metadata=td=insert', 'dump_extra'),
    'mpeg4': ('dump_extra', 'remove_extra=freq=all'),
}
ANY_FILTER = ('setts=pts=PTS+3', 'setts=pts=DTS', 'setts=ts=N*2', 'noise=drop=not(mod(n+1\\,9))',
              'noise=drop=eq(n\\,0)', 'noise=drop=key*gt(n\\,0)', 'noise=amount=100000')


@dataclass
class FuzzVideo:
    """A video and how it was made; ``damaged`` if some of its bits were changed."""
    path: Path
    codec: str
    damaged: bool = False
    recipe: list[str] = field(default_factory=list)


def make_fuzz_video(folder: Path, seed: int) -> FuzzVideo:
    """Make video number ``seed`` in an empty folder."""
    rng = random.Random(seed)
    codec = rng.choice(CODECS)
    sizes = [rng.choice(SIZES)] * 3 if rng.random() < .7 else rng.choices(SIZES, k=3)
    settings = [_encoder(codec, rng)] * 3 if rng.random() < .3 else [
        _encoder(codec, rng) for _ in range(3)]
    suffixes = [rng.choice(CONTAINERS[codec])] * 3 if rng.random() < .7 else rng.choices(
        CONTAINERS[codec], k=3)
    video = FuzzVideo(folder, codec)
    parts = [_encode(video, folder / f'part{i}.{suffixes[i]}', settings[i], sizes[i], rng)
             for i in range(rng.choice((1, 1, 2, 2, 3)))]
    video.path = parts[0]
    if len(parts) > 1:
        names = folder / 'parts.txt'
        names.write_text(''.join(f"file '{part}'\n" for part in parts))
        _step(video, rng, 'joined', ['-f', 'concat', '-safe', '0', '-i', str(names)])
    for i in range(rng.choice((0, 1, 1, 2, 3))):
        rng.choice((_cut, _remux, _filter, _flag, _flag, _more_streams, _rotate))(
            video, rng, f'step{i}')
    if rng.random() < .1:
        _damage(video, rng)
    return video


def _encoder(codec: str, rng: random.Random) -> list[str]:
    gop = rng.choice((1, 4, 6, 10, 12, 25, 250))
    # libx265's presets look at most 5 frames ahead.
    bframes = min(gop - 1, 3 if codec == 'libx265' else 5, rng.choice((0, 0, 1, 2, 3, 5)))
    options = {'g': gop, 'threads': 1}
    if codec in ('libx264', 'libx265'):
        name, params = _x26x(codec, bframes, rng)
        options |= {'preset': 'ultrafast' if rng.random() < .2 else 'veryfast', 'bf': bframes,
                    'sc_threshold': rng.choice((0, 40)), 'crf': rng.choice((15, 25)), name: params,
                    'pix_fmt': rng.choice(('yuv420p', 'yuv420p', 'yuv420p', 'yuv444p',
                                           'yuv420p10le'))}
    elif codec in ('libvpx-vp9', 'libvpx', 'libaom-av1'):
        options |= {'cpu-used': 8, 'b:v': '300k', 'lag-in-frames': rng.choice((0, 12, 25)),
                    'auto-alt-ref': rng.choice((0, 1))}
    else:
        options |= {'q:v': 4, 'bf': 0 if codec == 'mjpeg' else min(bframes, 2)}
        if codec in ('mpeg4', 'mpeg2video') and rng.random() < .3:
            options |= {'flags': rng.choice(('+cgop', '+ilme+ildct', '+global_header')),
                        'sc_threshold': 1000000000}
    return ['-c:v', codec, *(str(part) for name, value in options.items()
                             for part in (f'-{name}', value))]


def _x26x(codec: str, bframes: int, rng: random.Random) -> tuple[str, str]:
    def some(**choices: tuple) -> list[str]:
        return [f'{name.replace("_", "-")}={rng.choice(values)}'
                for name, values in choices.items() if rng.random() < .4]

    if codec == 'libx265':
        return 'x265-params', ':'.join(['log-level=none', 'pools=1', *some(
            open_gop=(0, 1, 1), ref=(1, 3, 5), weightp=(0, 1), repeat_headers=(0, 1),
            intra_refresh=(0, 1), b_pyramid=(0, 1), temporal_layers=(0, 1), aud=(0, 1),
            radl=(0, min(2, bframes)), slices=(1, 2), b_intra=(0, 1))])
    return 'x264-params', ':'.join(['log-level=none', *some(
        open_gop=(0, 1, 1), intra_refresh=(0, 1), cabac=(0, 1), ref=(1, 2, 6), weightp=(0, 1, 2),
        slices=(1, 4), b_pyramid=('none', 'strict', 'normal'), b_adapt=(0, 2), tff=(0, 1),
        aud=(0, 1), repeat_headers=(0, 1), sps_id=(0, 3), constrained_intra=(0, 1),
        fake_interlaced=(0, 1), stitchable=(0, 1))])


def _encode(video: FuzzVideo, path: Path, settings: list[str], size: str,
            rng: random.Random) -> Path:
    # Neighbouring frames differ by half of the range, but are predicted well from each other.
    source = (f'testsrc2=size={size}:rate={rng.choice((25, 30))},scroll=h={rng.uniform(.03, .2)}:'
              f'v={rng.uniform(.02, .1)},hue=h={rng.randrange(360)}+n*{rng.choice((0, 7))}')
    _ffmpeg(video, ['-f', 'lavfi', '-i', source, '-frames:v', str(rng.randrange(12, 45)),
                    *settings], path)
    return path


def _step(video: FuzzVideo, rng: random.Random, name: str, inputs: list[str] | None = None,
          outputs: tuple[str, ...] = (), suffixes: tuple[str, ...] | None = None) -> None:
    """Copy the packets to a new file; the video stays as it is if ffmpeg refuses."""
    suffix = rng.choice(suffixes or CONTAINERS[video.codec])
    path = video.path.parent.joinpath(f'{name}.{suffix}')
    try:
        _ffmpeg(video, [*(inputs or ['-i', str(video.path)]), '-map', '0:v', '-c', 'copy',
                        *outputs], path)
        with av.open(str(path)) as container:
            assert any(packet.size for packet in container.demux(container.streams.video[0]))
    except (subprocess.SubprocessError, av.FFmpegError, AssertionError, IndexError):
        video.recipe.append('(in vain)')
    else:
        video.path = path


def _cut(video: FuzzVideo, rng: random.Random, name: str) -> None:
    seek = ['-ss', f'{rng.uniform(0, 1):.2f}']
    source, outputs = ['-i', str(video.path)], ['-t', f'{rng.uniform(.5, 2):.2f}']
    if rng.random() < .7:
        source = seek + source
    else:
        outputs += seek
    if rng.random() < .3:
        outputs += ['-avoid_negative_ts', rng.choice(('disabled', 'make_zero'))]
    if rng.random() < .2:
        outputs += ['-copyinkf']
    _step(video, rng, name, source, tuple(outputs))


def _remux(video: FuzzVideo, rng: random.Random, name: str) -> None:
    options = rng.choice(((), (), ('-movflags', 'negative_cts_offsets'), ('-use_editlist', '0'),
                          ('-movflags', 'faststart'), ('-fflags', '+bitexact'), ('-tag:v', 'hev1'),
                          ('-movflags', 'frag_every_frame+empty_moov')))
    before = rng.choice(((), (), ('-fflags', '+genpts'), ('-itsoffset', '0.5'),
                         ('-ignore_editlist', '1'), ('-itsscale', '1.7')))
    _step(video, rng, name, [*before, '-i', str(video.path)], options)


def _filter(video: FuzzVideo, rng: random.Random, name: str) -> None:
    chosen = rng.choice((*ANY_FILTER, *FILTERS.get(video.codec, ()) * 2))
    video.damaged |= chosen.startswith('noise=')
    _step(video, rng, name, outputs=('-bsf:v', chosen))


def _rotate(video: FuzzVideo, rng: random.Random, name: str) -> None:
    _step(video, rng, name, outputs=('-metadata:s:v', f'rotate={rng.choice((90, 180, 270))}'),
          suffixes=('mp4', 'mov'))


def _more_streams(video: FuzzVideo, rng: random.Random, name: str) -> None:
    """Another video and a cover picture before or behind this video, one of them the default."""
    other = ['-f', 'lavfi', '-i', 'testsrc2=size=96x96:rate=25:duration=1']
    order = rng.sample(['0:v', '1:v'], 2)
    flags = [f'-disposition:v:{i}={rng.choice(("default", "0", "attached_pic", "default"))}'
             for i in range(2)]
    _step(video, rng, name, ['-i', str(video.path), *other], (
        '-map', '-0', *(part for stream in order for part in ('-map', stream)),
        f'-c:v:{order.index("1:v")}', 'mpeg4', *(part for flag in flags for part in
                                                 flag.split('='))), ('mp4', 'mkv', 'mov', 'ts'))


def _flag(video: FuzzVideo, rng: random.Random, name: str) -> None:
    """Mark packets as keyframes that are none: all of them, some, or only the first."""
    share = rng.choice((1, 1, 1, .5, 0))
    suffix = rng.choice([c for c in CONTAINERS[video.codec] if c not in ('ts', 'h264', 'hevc')])
    path = video.path.parent / f'{name}.{suffix}'
    video.recipe.append(f'flag {share:.0%} of packets as keyframes > {path.name}')
    options = {'movflags': 'frag_every_frame+empty_moov'} if 'fragmented' in suffix else {}
    try:
        with av.open(str(video.path)) as source, av.open(str(path), 'w', options=options) as out:
            copy = out.add_stream_from_template(source.streams.video[0])
            for i, packet in enumerate(source.demux(source.streams.video[0])):
                if packet.size:
                    packet.is_keyframe, packet.stream = i == 0 or rng.random() < share, copy
                    out.mux(packet)
    except (av.FFmpegError, ValueError):
        video.recipe.append('(in vain)')
    else:
        video.path = path


def _damage(video: FuzzVideo, rng: random.Random) -> None:
    data = bytearray(video.path.read_bytes())
    if rng.random() < .3:
        del data[rng.randrange(len(data) // 2, len(data)):]
    for _ in range(rng.choice((1, 3, 20))):
        data[rng.randrange(len(data) // 10, len(data))] ^= 1 << rng.randrange(8)
    video.path = video.path.with_name(f'damaged-{video.path.name}')
    video.path.write_bytes(data)
    video.damaged = True
    video.recipe.append(f'damaged > {video.path.name}')


def _ffmpeg(video: FuzzVideo, arguments: list[str], path: Path) -> None:
    if 'fragmented' in path.name:
        arguments = [*arguments, '-movflags', 'frag_keyframe+empty_moov+default_base_moof']
    video.recipe.append(f'ffmpeg {" ".join(arguments)} {path.name}')
    subprocess.run(['ffmpeg', '-nostdin', '-y', '-v', 'error', *arguments, str(path)],
                   check=True, capture_output=True, timeout=60)
