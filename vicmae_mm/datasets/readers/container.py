"""Opening video files with PyAV, with a clear reason for each way in which this can fail."""
from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import VideoError

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# What libavformat opens as "video" although it is text, a picture or a list of other files.
NOT_VIDEOS = ('tty', 'image2', 'hls', 'dash', 'concat', 'sdp')


def library() -> ModuleType:
    """Return PyAV, or raise an ImportError that says what to install."""
    try:
        import av
    except ImportError as error:
        raise ImportError('reading videos needs PyAV: pip install av') from error
    return av


def open_container(path: str) -> InputContainer:
    """Open a local file.

    Raises:
        ImportError: PyAV is not installed.
        VideoError: The file does not exist, is not a regular file, is empty, or is not a video.
    """
    av = library()
    _check_file(path)
    try:
        # Without "file:", a name such as "a:b.mp4" would be taken for a URL. Metadata that are not
        # UTF-8 would be an error, and are not used.
        container = av.open(f'file:{path}', metadata_errors='ignore')
    except (av.FFmpegError, UnicodeError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise VideoError(path, f'is not a video, or its header is damaged ({reason})') from error
    name = container.format.name
    if name in NOT_VIDEOS or name.endswith('_pipe'):
        container.close()
        raise VideoError(path, f'is not a video (its format is "{name}")')
    return container


def video_stream(container: InputContainer, path: str) -> VideoStream:
    """Select the first video stream that is not a cover picture; the others are skipped.

    Raises:
        VideoError: There is none, or PyAV has no decoder for it.
    """
    from av.stream import Discard, Disposition
    streams = [stream for stream in container.streams.video
               if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = sorted({stream.type.replace('video', 'a cover picture')
                        for stream in container.streams})
        raise VideoError(path, f'has no video in it, only {" and ".join(kinds) or "nothing"}')
    if streams[0].codec_context is None:
        raise VideoError(path, 'has a damaged header, or a codec that PyAV does not know')
    # A data loader has a worker per core: more threads only cost more CPU time.
    streams[0].codec_context.thread_count = 1
    for other in container.streams:
        if other is not streams[0]:
            other.discard = Discard.all
    return streams[0]


def demux(container: InputContainer, stream: VideoStream, path: str) -> Iterator[Packet]:
    """All complete packets of ``stream``, up to where the file is cut off or damaged.

    Raises:
        VideoError: The file cannot be read (an error of the disk or network, not of its content).
    """
    import av
    try:
        for packet in container.demux(stream):
            # A partial packet where the file is cut off. In MPEG-TS, any packet may be marked.
            if packet.is_corrupt and container.format.name != 'mpegts':
                return
            if packet.size:  # the last one is empty and only flushes
                yield packet
    except av.error.InvalidDataError:
        return
    except av.FFmpegError as error:
        raise VideoError(path, f'cannot be read ({error.strerror})') from error


def decode_all(path: str) -> Iterator[VideoFrame]:
    """Decode all frames in order, up to where the decoder fails: the reference for every reader."""
    from av import FFmpegError
    with open_container(path) as container:
        stream = video_stream(container, path)
        try:
            for packet in demux(container, stream, path):
                yield from stream.codec_context.decode(packet)
            yield from stream.codec_context.decode(None)
        except FFmpegError:
            return


def upright(frame: VideoFrame) -> np.ndarray:
    """The HxWx3 uint8 RGB picture of a frame, rotated and mirrored as its file specifies."""
    # One thread: more would stay with the frame, and a forked worker that frees a frame of its
    # parent would wait for them forever.
    image = frame.to_ndarray(format='rgb24', threads=1)
    matrix: Any = frame.side_data.get('DISPLAYMATRIX')
    if matrix is None:
        return image
    # [x' y'] = [x y] @ [[a, b], [c, d]], y downwards, 16.16 fixed point (ISO 14496-12, 6.2.2)
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if a == d == 0:
        image, a, d = image.swapaxes(0, 1), c, b
    elif b or c:
        return image  # not a multiple of 90 degrees
    return np.ascontiguousarray(image[::-1 if d < 0 else 1, ::-1 if a < 0 else 1])


def _check_file(path: str) -> None:
    # libavformat would report all of these as an "input/output error".
    if os.path.isdir(path):
        raise VideoError(path, 'is a folder')
    if not os.path.exists(path):
        raise VideoError(path, 'does not exist')
    if not os.path.isfile(path):
        raise VideoError(path, 'is not a regular file')
    if not os.path.getsize(path):
        raise VideoError(path, 'is empty (0 bytes)')
