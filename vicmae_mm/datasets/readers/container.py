"""Opening video files with PyAV, with a clear reason for each way in which this can fail."""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EINVAL
from io import FileIO
from stat import S_ISDIR, S_ISREG
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from vicmae_mm.utils.processes.pool import still_working

from .base import VideoError, is_machines, naming_file, retried

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# What libavformat opens as "video" although it is text, a picture or a list of other files.
NOT_VIDEOS = ('tty', 'image2', 'hls', 'dash', 'concat', 'sdp')
# The colour matrices that swscale converts (ITU-T H.273, table 4). Players take a video with
# another one, or a reserved number, for untagged.
KNOWN_MATRICES, UNTAGGED = (0, 1, 2, 4, 5, 6, 7, 9), 2


class _SourceFile(FileIO):
    """A file that ends at an error of the system and remembers it: libavformat forgets some."""
    error: OSError | None = None
    _read = retried(FileIO.read)

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return b'' if self.error else self._read(size)
        except OSError as error:
            self.error = error
            return b''

    def seek(self, offset: int, whence: int = 0, /) -> int:
        with suppress(OSError):
            return super().seek(offset, whence)
        return -EINVAL  # a damaged file specified the offset

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Raise the error of the system at the end, if there was one."""
        try:
            yield
        finally:
            if self.error is not None:
                raise self.error


def library() -> ModuleType:
    """Return PyAV, or raise an ImportError that says what to install."""
    try:
        import av
    except ImportError as error:
        raise ImportError('reading videos needs PyAV: pip install av') from error
    return av


@contextmanager
def open_container(path: str) -> Iterator[InputContainer]:
    """Open a local file; an ImportError if PyAV is not installed.

    Raises a VideoError if the file does not exist, is not a regular file, is empty, or is not a
    video; a MachineError if the system cannot read it.
    """
    av = library()
    with _open_file(path) as file:
        with naming_file(path, 'is not a video, or its header is damaged'), file.checked():
            # The list is libavformat's own for local files: a playlist must not lead it to the
            # network. Before PyAV 19, metadata that are not UTF-8 would be an error.
            lenient = hasattr(av.container.InputContainer, 'metadata_errors')
            container = av.open(file, options={'protocol_whitelist': 'file,crypto,data'},
                                **(dict(metadata_errors='ignore') if lenient else {}))
        with container:
            name = container.format.name
            if name in NOT_VIDEOS or name.endswith('_pipe'):
                raise VideoError(path, f'is not a video (its format is "{name}")')
            yield container


def video_stream(container: InputContainer, path: str) -> VideoStream:
    """Select the video stream that players show; the others are skipped.

    It is the stream flagged as default; if none is, or several are, the first of them. Cover
    pictures do not count. It is a VideoError if there is none, or PyAV has no decoder for it.
    """
    from av.stream import Discard, Disposition
    streams = [stream for stream in container.streams.video
               if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = sorted({stream.type.replace('video', 'a cover picture')
                        for stream in container.streams})
        raise VideoError(path, 'has no video in it' + f', only {" and ".join(kinds)}' * bool(kinds))
    chosen = next((s for s in streams if s.disposition & Disposition.default), streams[0])
    if chosen.codec_context is None:
        raise VideoError(path, 'has a damaged header, or a codec that PyAV does not know')
    # A data loader has a worker per core: more threads only cost more CPU time.
    chosen.codec_context.thread_count = 1
    for other in container.streams:
        if other is not chosen:
            other.discard = Discard.all
    return chosen


def demux(container: InputContainer, stream: VideoStream, path: str) -> Iterator[Packet]:
    """All complete packets of ``stream``, up to where the file is cut off or damaged.

    Raises a VideoError if libavformat cannot read on, a MachineError if the system is at fault.
    """
    import av
    file = container.file.file
    with naming_file(path), file.checked():
        try:
            for packet in container.demux(stream):
                if file.error is not None:
                    return
                still_working()
                # A partial packet where the file is cut off. In MPEG-TS, any may be marked.
                if packet.is_corrupt and container.format.name != 'mpegts':
                    return
                if packet.size:  # the last one is empty and only flushes
                    yield packet
        except av.error.InvalidDataError:
            return


def decode_all(path: str, **options: str) -> Iterator[VideoFrame]:
    """Decode all frames in order, up to where the decoder fails: the reference for every reader.

    ``options`` are the decoder's.
    """
    from av import FFmpegError
    with open_container(path) as container, naming_file(path):
        stream = video_stream(container, path)
        stream.codec_context.options = options
        try:
            for packet in demux(container, stream, path):
                yield from stream.codec_context.decode(packet)
            yield from stream.codec_context.decode(None)
        except FFmpegError as error:
            if is_machines(error):
                raise


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
    transposed, upside_down, mirrored = orientation(frame)
    if transposed:
        image = image.swapaxes(0, 1)
    return np.ascontiguousarray(image[::-1 if upside_down else 1, ::-1 if mirrored else 1])


def orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Whether to transpose a frame, then flip it vertically and horizontally, by its file."""
    from av.sidedata.sidedata import SideDataContainer
    # frame.side_data would hold the frame until a garbage collection, and the pixels of damage that
    # a decoder leaves undefined depend on which frames are held.
    matrix: Any = SideDataContainer(frame).get('DISPLAYMATRIX')  # type: ignore[call-arg]
    if matrix is None:
        return False, False, False
    # [x' y'] = [x y] @ [[a, b], [c, d]], y downwards, 16.16 fixed point (ISO 14496-12, 6.2.2)
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if a == d == 0:
        return True, b < 0, c < 0
    return False, d < 0 and not b | c, a < 0 and not b | c  # multiples of 90 degrees only


@retried
def _open_file(path: str) -> _SourceFile:
    if '\0' in path:
        raise VideoError(path, 'does not exist')
    with naming_file(path):
        state = os.stat(path)
        if not S_ISREG(state.st_mode) and not S_ISDIR(state.st_mode):
            raise VideoError(path, 'is not a regular file')  # a pipe would wait for its other end
        if not state.st_size:
            raise VideoError(path, 'is empty (0 bytes)')
        return _SourceFile(path)
