"""Opening video files with PyAV, with a clear reason for each way in which this can fail."""
from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL
from io import FileIO
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import VideoError, file_error, naming_file

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# What libavformat opens as "video" although it is text, a picture or a list of other files.
NOT_VIDEOS = ('tty', 'image2', 'hls', 'dash', 'concat', 'sdp')
# The colour matrices that swscale converts (ITU-T H.273, table 4). Players take a video with
# another one, or a reserved number, for untagged.
KNOWN_MATRICES, UNTAGGED = (0, 1, 2, 4, 5, 6, 7, 9), 2
READ_SIZE = 2**16  # bytes


class _SourceFile(FileIO):
    """A file that ends at the first error of the system, and remembers the error.

    libavformat itself takes such an error for the end of the file, or forgets it.
    """
    error: OSError | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return b'' if self.error else super().read(size)
        except OSError as error:
            self.error = error
            return b''

    def seek(self, offset: int, whence: int = 0, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError as error:
            if error.errno != EINVAL:  # it is for offsets that a damaged file specifies
                self.error = error
            return -(error.errno or EINVAL)

    def check(self, path: str) -> None:
        """Raise a MachineError if the system failed to read the file."""
        if self.error is not None:
            raise file_error(path, self.error) from self.error


def library() -> ModuleType:
    """Return PyAV, or raise an ImportError that says what to install."""
    try:
        import av
    except ImportError as error:
        raise ImportError('reading videos needs PyAV: pip install av') from error
    return av


def open_container(path: str) -> InputContainer:
    """Open a local file; close it with :func:`close_container`.

    Raises:
        ImportError: PyAV is not installed.
        VideoError: The file does not exist, is not a regular file, is empty, or is not a video.
        MachineError: The system cannot read it.
    """
    av = library()
    file = _open_file(path)
    try:
        # Metadata that are not UTF-8 would be an error, and are not used. The list is libavformat's
        # for files that it opens itself: a playlist, which names others, must not use the network.
        container = av.open(file, metadata_errors='ignore', buffer_size=READ_SIZE,
                            options={'protocol_whitelist': 'file,crypto,data'})
    except Exception as error:
        file.close()
        file.check(path)
        raise file_error(path, error, 'is not a video, or its header is damaged') from error
    try:
        file.check(path)
        name = container.format.name
        if name in NOT_VIDEOS or name.endswith('_pipe'):
            raise VideoError(path, f'is not a video (its format is "{name}")')
    except VideoError:
        close_container(container)
        raise
    return container


def close_container(container: InputContainer) -> None:
    """Close a container and its file, which PyAV would leave open."""
    container.close()
    container.file.file.close()


@contextmanager
def opened_container(path: str) -> Iterator[InputContainer]:
    """:func:`open_container` for a ``with`` statement."""
    container = open_container(path)
    try:
        yield container
    finally:
        close_container(container)


def video_stream(container: InputContainer, path: str) -> VideoStream:
    """Select the video stream that players show; the others are skipped.

    It is the stream flagged as default; if none is, or several are, the first of them. Cover
    pictures do not count.

    Raises:
        VideoError: There is none, or PyAV has no decoder for it.
    """
    import av.stream
    flags = av.stream.Disposition
    streams = [stream for stream in container.streams.video
               if not stream.disposition & flags.attached_pic]
    if not streams:
        kinds = sorted({stream.type.replace('video', 'a cover picture')
                        for stream in container.streams})
        raise VideoError(path, f'has no video in it, only {" and ".join(kinds) or "nothing"}')
    chosen = next((s for s in streams if s.disposition & flags.default), streams[0])
    if chosen.codec_context is None:
        raise VideoError(path, 'has a damaged header, or a codec that PyAV does not know')
    # A data loader has a worker per core: more threads only cost more CPU time.
    chosen.codec_context.thread_count = 1
    for other in container.streams:
        # PyAV before 17.1 cannot skip a stream while reading: it only takes longer.
        if other is not chosen and hasattr(other, 'discard'):
            other.discard = av.stream.Discard.all
    return chosen


def demux(container: InputContainer, stream: VideoStream, path: str) -> Iterator[Packet]:
    """All complete packets of ``stream``, up to where the file is cut off or damaged.

    Raises:
        VideoError: libavformat cannot read on; a MachineError if the system is at fault.
    """
    import av
    file = container.file.file
    try:
        for packet in container.demux(stream):
            file.check(path)
            # A partial packet where the file is cut off. In MPEG-TS, any packet may be marked.
            if packet.is_corrupt and container.format.name != 'mpegts':
                return
            if packet.size:  # the last one is empty and only flushes
                yield packet
    except av.error.InvalidDataError:
        pass
    except av.FFmpegError as error:
        file.check(path)
        raise file_error(path, error) from error
    file.check(path)


def decode_all(path: str) -> Iterator[VideoFrame]:
    """Decode all frames in order, up to where the decoder fails: the reference for every reader."""
    from av import FFmpegError
    with opened_container(path) as container:
        stream = video_stream(container, path)
        try:
            for packet in demux(container, stream, path):
                yield from stream.codec_context.decode(packet)
            yield from stream.codec_context.decode(None)
        except MemoryError as error:  # one of FFmpegError, but not the end of the video
            raise file_error(path, error) from error
        except FFmpegError:
            return


def drop_unknown_matrix(frame: VideoFrame) -> VideoFrame:
    """Treat a frame as untagged if swscale does not know the colour matrix that its tag names."""
    if int(frame.colorspace) not in KNOWN_MATRICES:
        frame.colorspace = UNTAGGED
    return frame


def upright(frame: VideoFrame) -> np.ndarray:
    """The HxWx3 uint8 RGB picture of a frame, rotated and mirrored as its file specifies."""
    # One thread: more would stay with the frame, and a forked worker that frees a frame of its
    # parent would wait for them forever.
    image = drop_unknown_matrix(frame).to_ndarray(format='rgb24', threads=1)
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


def _open_file(path: str) -> _SourceFile:
    if '\0' in path:
        raise VideoError(path, 'does not exist')
    with naming_file(path):
        state = os.stat(path)
        if stat.S_ISDIR(state.st_mode):
            raise VideoError(path, 'is a folder')
        if not stat.S_ISREG(state.st_mode):  # opening a pipe would wait for its other end
            raise VideoError(path, 'is not a regular file')
        if not state.st_size:
            raise VideoError(path, 'is empty (0 bytes)')
        return _SourceFile(path)
