"""The entry point: opens a video with a backend that returns its frames correctly."""
from vicmae_mm.datasets.readers.kept_index.index_store import IndexStore
from vicmae_mm.datasets.readers.kept_index.indexed_reader import open_indexed
from vicmae_mm.utils.errors import InputError

from .base import VideoError, VideoReader
from .messages import warn_once
from .packet_index import PacketIndex
from .pyav_reader import PyAVReader
from .seeking_reader import DecordReader, TorchCodecReader

BACKENDS = {'pyav': PyAVReader, 'torchcodec': TorchCodecReader, 'decord': DecordReader}


def open_video(path: str, backend: str = 'pyav', store: IndexStore | None = None,
               device: str = 'cpu') -> VideoReader:
    """Open a video for reading single frames; close it, or use a ``with`` statement.

    Args:
        path: A local file.
        backend: ``'pyav'``, ``'torchcodec'`` or ``'decord'``. The last two need PyAV as well: it
            reads a file instead, with a warning, if they would return wrong frames or fail.
        store: Keeps indexes, which make opening a video again cheaper; for PyAV only.
        device: Where torchcodec decodes; the others use the CPU.

    Raises:
        ValueError: There is no such backend.
        ImportError: The package of the backend is not installed; the message names it.
        VideoError: The file is missing, is not a video, or has no frame that can be decoded.
    """
    check_backend(backend)
    if backend == 'pyav':
        return PyAVReader(path) if store is None else open_indexed(path, store)
    other = DecordReader if backend == 'decord' else TorchCodecReader
    other.library()  # reports a missing package even if PyAV will read this file
    pyav = PyAVReader(path)
    problem = seek_problem(pyav)
    if not problem:
        try:
            reader = other(path) if device == 'cpu' else TorchCodecReader(path, device)
            # Otherwise the two number frames differently, for a reason not found above.
            if reader.num_frames == pyav.num_frames:
                reader.frame_times = pyav.frame_times
                pyav.close()
                return reader
            problem = f'{backend} finds {reader.num_frames} frames instead of {pyav.num_frames}'
            reader.close()
        except VideoError as error:
            problem = error.reason
    warn_once(f'{problem}: PyAV reads it instead of {backend}', path)
    return pyav


def check_backend(backend: str) -> None:
    """Raise a ValueError if there is no such backend."""
    if backend not in BACKENDS:
        raise InputError(f'there is no video backend {backend!r}, only '
                         f'{", ".join(map(repr, BACKENDS))}')


# decord and torchcodec seek to what the container calls a keyframe, and number frames by their
# packets. Measured against a sequential decode, both return wrong frames (or none) if an edit list
# hides packets, if a keyframe does not cut all references, or if time stamps are unreliable. decord
# also returns garbage for rotated frames, and never returns from MPEG-TS. They may use FFmpeg 4 or
# 5, which decode HEVC with several slices in a picture wrongly.
def seek_problem(reader: PyAVReader) -> str:
    """Why a library that seeks by itself may return wrong frames of this video, or ''."""
    index = reader.index
    if index.unreliable_reason:
        return index.unreliable_reason
    if reader.decoder.codec.canonical_name == 'hevc':
        return 'older versions of FFmpeg decode some HEVC wrongly'
    stream = reader.stream
    # Where bits are wrong, they return frames at other places.
    if stream.container.format.name.startswith('mov') and stream.frames != len(index.pts):
        return 'the header of the mp4 does not list exactly its packets (fragments, or a cut)'
    if index.edited:
        return 'an edit list hides some of its packets'
    if _false_keyframes(reader) or not _closed_gops(index):
        return 'frames after a keyframe may refer to frames before it (open GOP)'
    if len(reader.stream.container.streams.video) > 1:
        return 'it has several video streams'
    if reader.rotated:
        return 'its frames are stored rotated or mirrored'
    return ''


def _false_keyframes(reader: PyAVReader) -> bool:
    """Whether the container would seek to packets at which decoding cannot start."""
    # The flags of packets do not tell: libavformat corrects them by what is in H.264 packets.
    index, entries = reader.index, reader.stream.index_entries
    if reader.stream.container.format.name.startswith('mov'):  # it has an entry for each packet
        return not {i for i, entry in enumerate(entries) if entry.is_keyframe} <= {*index.keyframes}
    return not {entry.timestamp for entry in entries if entry.is_keyframe} <= {
        index.pts[i] for i in index.keyframes}


def _closed_gops(index: PacketIndex) -> bool:
    """Whether no frame is decoded after a keyframe but shown before it."""
    ends = [*index.keyframes[1:], len(index.pts)]
    return all(min(index.pts[key:end]) == index.pts[key]
               for key, end in zip(index.keyframes, ends, strict=True))
