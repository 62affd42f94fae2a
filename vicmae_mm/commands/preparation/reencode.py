"""Encoding a video again: smaller, with keyframes close enough to read single frames fast."""
from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from errno import EEXIST, EISDIR, ENAMETOOLONG, ENOTDIR
from fractions import Fraction
from itertools import chain
from math import ceil
from typing import TYPE_CHECKING

from vicmae_mm.datasets.readers import VideoError
from vicmae_mm.datasets.readers.base import is_machines, naming_file
from vicmae_mm.datasets.readers.container import (
    demux,
    drop_unknown_matrix,
    open_container,
    orientation,
    video_stream,
)
from vicmae_mm.utils.atomic_files import atomic_write

from .converting import JobResult

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.filter import Graph
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


@dataclass(frozen=True)
class ReencodeSettings:
    """How to encode: H.264 with 4:2:0 colour in mp4, without sound; never enlarged."""
    short_side: int = 256  # px, maximum length of the shorter side
    gop: int = 12  # maximum number of frames from one keyframe to the next
    crf: int = 23  # quality of x264, 0 (lossless) to 51
    preset: str = 'veryfast'  # effort of x264
    threads: int = 1  # of x264 per video


@dataclass(frozen=True)
class ReencodeJob:
    """One video to encode again."""
    source: str
    target: str
    settings: ReencodeSettings


def reencode(job: ReencodeJob) -> JobResult:
    """Encode a video again; the target appears only when it is complete.

    Every frame and its time stamp are kept, so a variable frame rate stays variable. Rotation is
    applied, colour range and colour space are kept, width and height become even.

    There is a ``problem``, and no target, if the source does not decode to its end, or the target
    cannot have its name. It is an OSError if the target cannot be written.
    """
    begin = time.monotonic()
    try:
        with atomic_write(job.target) as part:
            _encode(job.source, str(part), job.settings)
            size = part.stat().st_size
    except VideoError as error:
        return JobResult(error.reason, again=is_machines(error))
    except OSError as error:
        # The name is too long, or that of a folder; or its folder's name is that of a file.
        if error.errno not in (ENAMETOOLONG, EISDIR, EEXIST, ENOTDIR):
            raise
        return JobResult(f'cannot become {job.target} ({error.strerror}): rename it')
    return JobResult('', size, time.monotonic() - begin)


def target_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height with the shorter side scaled down to ``short_side``, both even."""
    scale = min(1., short_side / min(width, height))
    # 4:2:0 colour needs even sides. The nearest even number; of two, the smaller.
    wide, high = (max(2, ceil(side * scale / 2 - .5) * 2) for side in (width, height))
    return wide, high


def _encode(source: str, target: str, settings: ReencodeSettings) -> None:
    import av
    with open_container(source) as container:
        stream = video_stream(container, source)
        frames = _filter(_decode(container, stream, source), stream, settings.short_side, source)
        first = next(frames, None)
        if first is None:
            raise VideoError(source, 'none of its frames decodes')
        try:
            # 'file:' keeps FFmpeg from reading a name with a colon as a protocol.
            with av.open(f'file:{target}', 'w', format='mp4',
                         options={'movflags': 'faststart'}) as out:
                encoder = _add_encoder(out, first, stream, settings)
                out.mux(encoder.encode(first))
                for frame in frames:
                    out.mux(encoder.encode(frame))
                out.mux(encoder.encode(None))
        except av.FFmpegError as error:
            # A full disk is not the fault of the video: it stops the tool.
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, target) from error
            with naming_file(source, 'cannot be encoded again'):
                raise


def _decode(container: InputContainer, stream: VideoStream, path: str) -> Iterator[VideoFrame]:
    """All frames in presentation order, with time stamps that increase from 0."""
    # The tool runs one process per core; threads within each would only add overhead.
    stream.codec_context.thread_count = 1
    rate, time_base = _rates(stream)
    step = max(1, round(1 / (rate * time_base)))
    begin: int = 0
    latest: int | None = None
    with naming_file(path, 'does not decode to its end'):
        # The final None flushes the frames that the decoder still holds for reordering.
        for packet in chain(demux(container, stream, path), [None]):
            for frame in stream.codec_context.decode(packet):
                if latest is None:
                    begin = latest = frame.pts or 0
                elif frame.pts is None or frame.pts <= latest:
                    # avi has no time stamps.
                    latest += step
                else:
                    latest = frame.pts
                frame.pts, frame.time_base = latest - begin, time_base
                # Otherwise x264 would copy the source's choice of I, P and B frames.
                frame.pict_type = 0
                yield drop_unknown_matrix(frame)


def _rates(stream: VideoStream) -> tuple[Fraction, Fraction]:
    """Frame rate in frames per second, and time base in seconds per tick."""
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    base = stream.time_base or 1 / rate
    # PyAV 19 has a type of its own, which rounds.
    return Fraction(rate.numerator, rate.denominator), Fraction(base.numerator, base.denominator)


def _filter(frames: Iterator[VideoFrame], stream: VideoStream, short_side: int,
            path: str) -> Iterator[VideoFrame]:
    """Scale, rotate upright and convert to 8-bit 4:2:0."""
    graph: Graph | None = None
    for frame in frames:
        with naming_file(path, 'cannot be converted'):
            if graph is None:
                graph = _build_graph(frame, stream, short_side)
            graph.vpush(frame)
            converted = graph.vpull()
        yield converted


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
        # First, because it is the filter that accepts frames whose size changes midway.
        graph.add('scale', f'{width}:{height}:flags=bicubic'),
        *(graph.add(name, '0' if name == 'transpose' else None) for name, used in zip(
            ('transpose', 'vflip', 'hflip'), orientation(frame), strict=True) if used),
        graph.add('format', 'yuv420p'),
        graph.add('buffersink')]
    graph.link_nodes(*nodes).configure()
    return graph


def _add_encoder(out: OutputContainer, frame: VideoFrame, source: VideoStream,
                 settings: ReencodeSettings) -> VideoStream:
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
        context.sample_aspect_ratio = 1 / aspect if orientation(frame)[0] else aspect
    return stream
