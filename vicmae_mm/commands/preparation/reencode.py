"""Encoding a video again: smaller, and with keyframes close enough to read single frames fast."""
from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.container import demux, open_container, video_stream

from .converting import Done

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.filter import Graph
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


@dataclass(frozen=True)
class Settings:
    """How to encode: H.264 with 4:2:0 colour in mp4, no sound.

    Attributes:
        short_side: Longest that the shorter side may be, in pixels; frames are never enlarged.
        gop: Most frames from one keyframe to the next.
        crf: Quality of x264, 0 (lossless) to 51.
        preset: Effort of x264, such as 'veryfast' or 'medium'.
        threads: Threads of x264 for one video.
    """
    short_side: int = 256
    gop: int = 12
    crf: int = 23
    preset: str = 'veryfast'
    threads: int = 1


@dataclass(frozen=True)
class Job:
    """One video to encode again."""
    source: str
    target: str
    settings: Settings


def reencode(job: Job) -> Done:
    """Encode a video again; the target appears only when it is complete.

    Every frame is kept, with its time: a variable frame rate stays one. Rotation is applied,
    colour range and colour space are kept, sizes become even.

    Returns:
        Done: With a ``problem``, and no target, if the source does not decode to its end.

    Raises:
        OSError: The target can't be written.
    """
    begin = time.monotonic()
    os.makedirs(os.path.dirname(job.target) or '.', exist_ok=True)
    part = f'{job.target}.part'
    try:
        _encode(job.source, part, job.settings)
        size = os.path.getsize(part)
        os.replace(part, job.target)
    except VideoError as error:
        return Done(error.reason)
    finally:
        if os.path.exists(part):
            os.remove(part)
    return Done('', size, time.monotonic() - begin)


def target_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height with the shorter side scaled down to ``short_side``, both even."""
    scale = min(1., short_side / min(width, height))
    return _even(width * scale), _even(height * scale)


def _even(side: float) -> int:
    return max(2, ceil(side / 2 - .5) * 2)  # the nearest, of two the smaller


def _encode(source: str, target: str, settings: Settings) -> None:
    import av
    with open_container(source) as container:
        stream = video_stream(container, source)
        frames = _filter(_decode(container, stream, source), stream, settings.short_side)
        first = next(frames, None)
        if first is None:
            raise VideoError(source, 'none of its frames decodes')
        try:
            with av.open(f'file:{target}', 'w', format='mp4',
                         options={'movflags': 'faststart'}) as out:
                encoder = _add_encoder(out, first, stream, settings)
                out.mux(encoder.encode(first))
                for frame in frames:
                    out.mux(encoder.encode(frame))
                out.mux(encoder.encode(None))
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, target) from error
            raise VideoError(source, f'can not be encoded again ({error.strerror})') from error


def _decode(container: InputContainer, stream: VideoStream, path: str) -> Iterator[VideoFrame]:
    """All frames in the order they are shown, their times rising from 0."""
    import av
    stream.codec_context.thread_count = 1
    rate, time_base = _rates(stream)
    step = max(1, round(1 / (rate * time_base)))
    begin: int = 0
    latest: int | None = None
    try:
        for packet in [*demux(container, stream, path), None]:
            for frame in stream.codec_context.decode(packet):
                if latest is None:
                    begin = latest = frame.pts or 0
                elif frame.pts is None or frame.pts <= latest:
                    latest += step  # as in avi, which has no times
                else:
                    latest = frame.pts
                frame.pts, frame.time_base = latest - begin, time_base
                frame.pict_type = 0  # or x264 would repeat the source's choice of I, P and B
                yield frame
    except av.FFmpegError as error:
        raise VideoError(path, f'does not decode to its end ({error.strerror})') from error


def _rates(stream: VideoStream) -> tuple[Fraction, Fraction]:
    """Frames a second, and seconds a tick of its clock."""
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    return rate, stream.time_base or 1 / rate


def _filter(frames: Iterator[VideoFrame], stream: VideoStream,
            short_side: int) -> Iterator[VideoFrame]:
    """Scale, turn upright and convert to 8-bit 4:2:0."""
    graph: Graph | None = None
    for frame in frames:
        if graph is None:
            graph = _build_graph(frame, stream, short_side)
        graph.vpush(frame)
        yield graph.vpull()


def _build_graph(frame: VideoFrame, stream: VideoStream, short_side: int) -> Graph:
    from av.filter import Graph
    width, height = target_size(frame.width, frame.height, short_side)
    graph = Graph()
    graph.threads = 1
    nodes = [
        graph.add('buffer', video_size=f'{frame.width}x{frame.height}',
                  pix_fmt=frame.format.name, time_base=str(_rates(stream)[1]),
                  pixel_aspect=str(stream.sample_aspect_ratio or 1),
                  range=str(frame.color_range), colorspace=str(frame.colorspace)),
        # The first filter, as it is the one that takes frames whose size changes midway.
        graph.add('scale', f'{width}:{height}:flags=bicubic'),
        *(graph.add(name, args) for name, args in _turn(frame)),
        graph.add('format', 'yuv420p'),
        graph.add('buffersink')]
    graph.link_nodes(*nodes).configure()
    return graph


def _turn(frame: VideoFrame) -> list[tuple[str, str]]:
    """Filters that turn and mirror frames as their file asks a player to."""
    matrix = frame.side_data.get('DISPLAYMATRIX')
    if matrix is None:
        return []
    # [x' y'] = [x y] @ [[a, b], [c, d]], y downwards, 16.16 fixed point (ISO 14496-12, 6.2.2)
    a, b, _, c, d = np.frombuffer(cast(Any, matrix), np.int32)[:5].tolist()
    filters = []
    if a == d == 0:
        filters.append(('transpose', '0'))  # mirrors at the diagonal: x becomes y
        a, d = c, b
    elif b or c:
        return []  # not a multiple of 90 degrees: readers leave it as it is, too
    return filters + [('vflip', '')] * (d < 0) + [('hflip', '')] * (a < 0)


def _add_encoder(out: OutputContainer, frame: VideoFrame, source: VideoStream,
                 settings: Settings) -> VideoStream:
    rate, time_base = _rates(source)
    stream = out.add_stream('libx264', rate=rate)
    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, 'yuv420p'
    stream.options = {'crf': str(settings.crf), 'preset': settings.preset}
    context, decoder = stream.codec_context, source.codec_context
    context.time_base = time_base
    context.gop_size = settings.gop
    context.thread_count = settings.threads
    context.color_range, context.colorspace = frame.color_range, frame.colorspace
    context.color_primaries, context.color_trc = decoder.color_primaries, decoder.color_trc
    aspect = source.sample_aspect_ratio
    if aspect:
        turned = any(name == 'transpose' for name, _ in _turn(frame))
        context.sample_aspect_ratio = 1 / aspect if turned else aspect
    return stream
