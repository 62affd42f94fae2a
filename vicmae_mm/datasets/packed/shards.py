"""Shards: uncompressed ZIP files of JPEG frames, which any program can open.

``000012/000047.jpg`` is frame 47 of video 12 of the shard. ``videos.json``, the last member, tells
the rest: an object with ``classes`` (list of names) and ``videos``, a list of objects with ``path``
(as it was listed), ``label`` (-1 for none) and either ``total_frames`` (of the video that was
packed) and ``frames`` (the numbers of those stored, ascending), or ``problem``.
"""
import io
import json
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vicmae_mm.whole_files import write_whole

VIDEOS_FILE = 'videos.json'
FRAME = np.dtype([('offset', '<i8'), ('size', '<i4'), ('crc', '<u4'), ('number', '<i4')])

_NAME_LENGTHS_AT = 26  # in a member's own header, of 30 bytes (APPNOTE.TXT 4.3.7)
_HEADER_SIZE = 30


class ShardError(ValueError):
    """A file is no whole shard."""


@dataclass(frozen=True)
class StoredVideo:
    """What a shard says of a video.

    Attributes:
        path: As it was listed.
        label: Its label, -1 for none.
        total_frames: Frames of the video that was packed.
        frames: Numbers of those stored, ascending.
        problem: Why none is stored; '' if they are.
    """
    path: str
    label: int
    total_frames: int = 0
    frames: tuple[int, ...] = ()
    problem: str = ''


def write_shard(path: str | Path, classes: Sequence[str], videos: Sequence[StoredVideo],
                pictures: Sequence[Sequence[bytes]]) -> None:
    """Write a shard as a whole or not at all; the same input gives the same bytes.

    Args:
        path: The file.
        classes: Names of the labels; empty if not known.
        videos: All videos of the shard.
        pictures: JPEG files of the frames of each.

    Raises:
        OSError: It can't be written.
    """
    described = dict(classes=list(classes), videos=[asdict(video) for video in videos])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        for number, (video, jpegs) in enumerate(zip(videos, pictures, strict=True)):
            for frame, jpeg in zip(video.frames, jpegs, strict=True):
                archive.writestr(zipfile.ZipInfo(_member(number, frame)), jpeg)
        archive.writestr(zipfile.ZipInfo(VIDEOS_FILE), json.dumps(described))
    write_whole(path, [buffer.getbuffer()])


def read_videos(path: str | Path) -> tuple[list[str], list[StoredVideo]]:
    """Classes and videos of a shard.

    Raises:
        ShardError: It is no ZIP file, or not to its end, or no shard.
        OSError: It can't be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            described = json.loads(archive.read(VIDEOS_FILE))
        return described['classes'], [
            StoredVideo(**{**video, 'frames': tuple(video['frames'])})
            for video in described['videos']]
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise ShardError(f'{path} is no whole shard ({error})') from error


def locate_frames(path: str | Path, videos: Sequence[StoredVideo]) -> np.ndarray:
    """Where the frames lie in a shard.

    Returns:
        np.ndarray: (N,) of :data:`FRAME`, the frames of all videos in order: offset and size of
        the JPEG file in bytes, its CRC-32, and the number of the frame in its video.

    Raises:
        ShardError: A frame is missing.
    """
    try:
        with zipfile.ZipFile(path) as archive, open(path, 'rb') as file:
            rows = []
            for number, video in enumerate(videos):
                for frame in video.frames:
                    member = archive.getinfo(_member(number, frame))
                    file.seek(member.header_offset + _NAME_LENGTHS_AT)
                    name, extra = struct.unpack('<HH', file.read(4))
                    start = member.header_offset + _HEADER_SIZE + name + extra
                    rows.append((start, member.file_size, member.CRC, frame))
            return np.array(rows, FRAME)
    except (zipfile.BadZipFile, KeyError, struct.error) as error:
        raise ShardError(f'{path} is no whole shard ({error})') from error


def _member(video: int, frame: int) -> str:
    return f'{video:06d}/{frame:06d}.jpg'
