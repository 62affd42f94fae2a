"""Shards: uncompressed ZIP files of JPEG frames, which any program can open.

``000012/000047.jpg`` is frame 47 of video 12 of the shard. ``videos.json``, the last member, tells
the rest: an object with ``classes`` (list of names) and ``videos``, a list of objects with ``path``
(as it was listed), ``label`` (-1 for none) and either ``total_frames`` (of the video that was
packed) and ``frames`` (the numbers of those stored, ascending), or ``problem``.
"""
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vicmae_mm.utils.atomic_files import atomic_write_bytes
from vicmae_mm.utils.errors import InputError

VIDEOS_FILE = 'videos.json'
FRAME = np.dtype([('offset', '<i8'), ('size', '<i4'), ('crc', '<u4'), ('number', '<i4')])
HEADER_SIZE = 30  # bytes of a member's own header, before its name (APPNOTE.TXT 4.3.7)


class ShardError(InputError):
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


@dataclass(frozen=True)
class Shard:
    """What a shard tells of itself.

    Attributes:
        classes: Names of the labels; empty if not known.
        videos: Its videos, bad ones too.
        frames: (N,) of :data:`FRAME`, the frames of all videos in order: offset and size of the
            JPEG file in bytes, its CRC-32, and the number of the frame in its video.
    """
    classes: list[str]
    videos: list[StoredVideo]
    frames: np.ndarray


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
    atomic_write_bytes(path, [buffer.getbuffer()])


def read_shard(path: str | Path) -> Shard:
    """Read what a shard tells of itself; no picture is looked at.

    Raises:
        ShardError: It is no ZIP file, or not to its end, or no shard.
        OSError: It can't be opened.
    """
    with open(path, 'rb') as file:
        try:
            with zipfile.ZipFile(file) as archive:
                described = json.loads(archive.read(VIDEOS_FILE))
                videos = [StoredVideo(**{**video, 'frames': tuple(video['frames'])})
                          for video in described['videos']]
                return Shard(described['classes'], videos,
                             _locate_frames(videos, archive.infolist()))
        except Exception as error:  # zipfile raises a dozen kinds over a damaged directory
            raise ShardError(f'{path} is no whole shard ({error})') from error


def _locate_frames(videos: Sequence[StoredVideo], members: Sequence[zipfile.ZipInfo]) -> np.ndarray:
    """Rows of :data:`FRAME`, without a look at the members' own headers, which lie far apart."""
    numbers = [(video, frame) for video, stored in enumerate(videos) for frame in stored.frames]
    names = [_member(*number) for number in numbers]
    if [member.filename for member in members] != [*names, VIDEOS_FILE]:
        raise InputError('it does not hold the frames that it tells of')
    rows = [(member.header_offset + HEADER_SIZE + len(name), member.file_size, member.CRC, frame)
            for member, name, (_, frame) in zip(members, names, numbers, strict=False)]
    if any(start + size != following.header_offset
           for (start, size, *_), following in zip(rows, members[1:], strict=True)):
        raise InputError('its members do not follow each other as they were written')
    return np.array(rows, FRAME)


def _member(video: int, frame: int) -> str:
    return f'{video:06d}/{frame:06d}.jpg'
