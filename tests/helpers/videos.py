"""Small videos for the tests, made with PyAV alone (no ffmpeg program, no download).

Every frame carries its own number as a code of black and white blocks, so that a
test can tell which frame a reader returned (:func:`read_frame_number`), over a
gradient that moves, so that neighbouring frames differ everywhere.
"""
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CODE_COLUMNS, CODE_ROWS = 4, 3  # 12 bits: frames 0 .. 4095


def draw_frame(number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """The picture of frame ``number``: HxWx3 uint8 RGB for ``size`` = (width, height)."""
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    frame = np.stack([
        (x * 3 + number * 5) % 256, (y * 4 + number * 9) % 256, (x + y + number * 13) % 256
    ], axis=-1).astype(np.uint8)
    for bit, (rows, columns) in enumerate(_code_blocks(width, height)):
        frame[rows, columns] = 255 * (number >> bit & 1)
    return frame


def read_frame_number(frame: np.ndarray) -> int:
    """The number written in a decoded HxWx3 frame (upright, as drawn)."""
    height, width = frame.shape[:2]
    return sum(1 << bit for bit, (rows, columns) in enumerate(_code_blocks(width, height))
               if frame[rows, columns].mean() > 127)


def make_video(path: str | Path,
               num_frames: int = 24,
               size: tuple[int, int] = (64, 48),
               fps: int | Fraction = 25,
               codec: str = 'libx264',
               gop: int = 12,
               bframes: int = 2,
               pix_fmt: str = 'yuv420p',
               pts: Sequence[int] | None = None,
               options: dict[str, str] | None = None,
               muxer_options: dict[str, str] | None = None,
               container_format: str | None = None,
               audio: bool = False,
               rotation: int = 0) -> Path:
    """Encode ``num_frames`` numbered frames to ``path`` (its suffix chooses the container).

    Args:
        size: (width, height) in pixels; may be odd where ``pix_fmt`` allows it.
        fps: Frames a second, or a fraction such as ``Fraction(30000, 1001)``.
        gop: Distance of keyframes; scene-cut detection is off.
        pts: Time stamps in units of 1/fps, ascending (variable frame rate); 0, 1, 2, ... if None.
        options: More encoder options, e.g. ``{'x264-params': 'open-gop=1'}``.
        muxer_options: E.g. ``{'movflags': 'faststart'}``.
        audio: Add a silent audio track, interleaved with the frames.
        rotation: Degrees clockwise that a player must turn the frames by (mp4 and mov only).
    """
    path = Path(path)
    fps = Fraction(fps)
    with av.open(str(path), 'w', format=container_format, options=muxer_options or {}) as out:
        stream = out.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.time_base = 1 / fps
        context.gop_size, context.max_b_frames, context.thread_count = gop, bframes, 1
        stream.options = _encoder_options(codec) | (options or {})
        sound = out.add_stream('aac', rate=16000, layout='mono') if audio else None
        for i in range(num_frames):
            frame = av.VideoFrame.from_ndarray(draw_frame(i, size), format='rgb24')
            frame.pts = i if pts is None else pts[i]
            frame.time_base = context.time_base
            out.mux(stream.encode(frame))
            if sound is not None:
                out.mux(sound.encode(_silence(i, fps)))
        for encoder in filter(None, (stream, sound)):
            out.mux(encoder.encode(None))
    if rotation:
        _write_rotation(path, rotation)
    return path


def make_audio(path: str | Path, seconds: int = 1) -> Path:
    """A file with a silent audio track and no video."""
    with av.open(str(path), 'w') as out:
        stream = out.add_stream('aac', rate=16000, layout='mono')
        for i in range(seconds):
            out.mux(stream.encode(_silence(i, Fraction(1))))
        out.mux(stream.encode(None))
    return Path(path)


def remux(source: str | Path,
          path: str | Path,
          first_packet: int = 0,
          start_frame: int = 0,
          lose_pts: bool = False,
          muxer_options: dict[str, str] | None = None) -> Path:
    """Copy the coded video, without decoding it, to another file or container.

    Args:
        first_packet: Packets before this one (in decoding order) are left out.
        start_frame: The frame of ``source`` that becomes time 0. What is shown earlier gets
            negative times, which the mp4 muxer hides behind an edit list: with a keyframe as
            ``first_packet`` this is what ``ffmpeg -ss T -i ... -c copy`` writes.
        lose_pts: Write the decoding times as if they were the times to show the frames.
    """
    with av.open(str(source)) as inp, \
            av.open(str(path), 'w', options=muxer_options or {}) as out:
        stream = inp.streams.video[0]
        packets = [packet for packet in inp.demux(stream) if packet.size]
        shift = sorted(packet.pts for packet in packets)[start_frame]
        copy = out.add_stream_from_template(stream)
        for packet in packets[first_packet:]:
            packet.dts -= shift
            packet.pts = packet.dts if lose_pts else packet.pts - shift
            packet.stream = copy
            out.mux(packet)
    return Path(path)


def join(sources: Sequence[Path], path: Path, all_keyframes: bool = False) -> Path:
    """Write the coded videos one after the other, as ``ffmpeg -f concat -c copy`` does.

    The file's header is that of the first: the others' parameter sets must be in their packets.

    Args:
        all_keyframes: Mark every packet as a keyframe, as old recorders do.
    """
    with av.open(str(path), 'w') as out:
        copy, begin, number = None, 0, 0
        for source in sources:
            with av.open(str(source)) as inp:
                stream = inp.streams.video[0]
                copy = copy or out.add_stream_from_template(stream, opaque=True)
                step = round(1 / (stream.average_rate * stream.time_base))
                packets = [packet for packet in inp.demux(stream) if packet.size]
                first = min(packet.pts for packet in packets)
                for packet in packets:
                    packet.pts += begin - first
                    packet.dts = (number - 4) * step  # earlier than frames are reordered
                    packet.is_keyframe |= all_keyframes
                    packet.stream = copy
                    out.mux(packet)
                    number += 1
                begin += len(packets) * step
    return path


def _code_blocks(width: int, height: int) -> list[tuple[slice, slice]]:
    """Rows and columns of the code's blocks, least significant bit first, in the upper half."""
    w, h = width // CODE_COLUMNS, height // 2 // CODE_ROWS
    return [(slice(r * h, (r + 1) * h), slice(c * w, (c + 1) * w))
            for r in range(CODE_ROWS) for c in range(CODE_COLUMNS)]


def _encoder_options(codec: str) -> dict[str, str]:
    """Keyframes exactly every ``gop`` frames, fast, and quiet."""
    return {
        'libx264': {'preset': 'veryfast', 'crf': '18', 'sc_threshold': '0'},
        'libx265': {'preset': 'ultrafast', 'x265-params': 'log-level=error:scenecut=0:pools=1'},
        'libvpx-vp9': {'deadline': 'realtime', 'cpu-used': '8', 'crf': '20', 'b': '0'},
        'mpeg4': {'qscale': '3', 'sc_threshold': '1000000000'},
    }.get(codec, {})


def _silence(number: int, fps: Fraction, rate: int = 16000) -> av.AudioFrame:
    """The sound of frame ``number``."""
    begin, end = (int(i * rate / fps) for i in (number, number + 1))
    frame = av.AudioFrame.from_ndarray(
        np.zeros((1, end - begin), np.float32), format='fltp', layout='mono')
    frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
    return frame


def _write_rotation(path: Path, degrees: int) -> None:
    """Write a rotation into the track header of an mp4 (ISO 14496-12, 8.3.2)."""
    matrix = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees % 360]
    data = bytearray(path.read_bytes())
    begin = data.index(b'tkhd') + 4
    begin += 4 + (32 if data[begin] else 20) + 16  # version and flags; times, ids; layer, volume
    for i, value in zip((0, 1, 3, 4), matrix, strict=True):
        data[begin + 4 * i:begin + 4 * i + 4] = (value << 16).to_bytes(4, 'big', signed=True)
    path.write_bytes(data)
