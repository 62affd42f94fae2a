"""Shards: uncompressed ZIP files of JPEG frames, which any program can open.

``000012/000047.jpg`` is frame 47 of the shard's video 12. The last member, ``videos.json``, is an
object with ``classes`` (list of names) and ``videos``, a list of objects with ``path`` (as listed),
``label`` (-1 for none) and either ``total_frames`` (of the original video) and ``frames`` (numbers
of the stored ones, ascending), ``times`` (seconds since the first frame of each of these) and
``duration`` (seconds to the end of the last frame), or ``problem`` (why none is stored).
"""
import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from vicmae_mm.utils.atomic_files import atomic_write_bytes
from vicmae_mm.utils.errors import InputError

VIDEOS_FILE = 'videos.json'
# Little-endian and without padding, because frames.npy is mapped as it is on the disk.
FRAME = np.dtype([('offset', '<i8'), ('size', '<i4'), ('crc', '<u4'), ('number', '<i4'),
                  ('time', '<f8')])
HEADER_SIZE = 30  # bytes of a member's local header before its name (APPNOTE.TXT 4.3.7)


class ShardError(InputError):
    """A file is not a complete shard."""


@dataclass(frozen=True)
class StoredVideo:
    """One video in ``videos.json``."""
    path: str  # as listed
    label: int  # -1 for none
    total_frames: int = 0  # of the original video
    frames: tuple[int, ...] = ()  # numbers of the stored ones, ascending
    problem: str = ''  # why no frame is stored
    times: tuple[float, ...] = ()  # of these in seconds; none in shards of older versions
    duration: float = 0.  # in seconds; 0.0 if unknown


@dataclass(frozen=True)
class Shard:
    """The contents of a shard, without the images."""
    classes: list[str]  # names of the labels; empty if unknown
    videos: list[StoredVideo]  # all, including bad ones
    # (N,) of FRAME, of all videos in order: offset and size of the JPEG file in bytes, its CRC-32,
    # the number of the frame in its video, and its time, NaN if unknown.
    frames: np.ndarray


def write_shard(path: str | Path, classes: Sequence[str], videos: Sequence[StoredVideo],
                images: Sequence[Sequence[bytes]]) -> None:
    """Write a :class:`Shard` atomically, with ``images``, the JPEG files of each video's frames.

    The same input gives the same bytes.
    """
    described = dict(classes=list(classes), videos=[asdict(video) for video in videos])
    with TemporaryFile(dir=Path(path).parent) as file:
        # Stored, not deflated: JPEG does not shrink, and a frame is then a plain byte range.
        with zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as archive:
            for number, (video, jpegs) in enumerate(zip(videos, images, strict=True)):
                for frame, jpeg in zip(video.frames, jpegs, strict=True):
                    # A ZipInfo of our own is dated 1980; a name alone would be stamped with now.
                    archive.writestr(zipfile.ZipInfo(_member(number, frame)), jpeg)
            archive.writestr(zipfile.ZipInfo(VIDEOS_FILE), json.dumps(described))
        file.seek(0)
        atomic_write_bytes(path, iter(lambda: file.read(2**20), b''))


def read_shard(path: str | Path) -> Shard:
    """Read the contents of a shard, but none of its images; a ShardError if it is incomplete."""
    with open(path, 'rb') as file:
        try:
            with zipfile.ZipFile(file) as archive:
                described = json.loads(archive.read(VIDEOS_FILE))
                videos = [StoredVideo(**{**video, 'frames': tuple(video['frames']),
                                         'times': tuple(video.get('times', ()))})
                          for video in described['videos']]
                return Shard(described['classes'], videos,
                             _locate_frames(videos, archive.infolist()))
        except Exception as error:  # zipfile raises a dozen types for a damaged directory
            raise ShardError(f'{path} is not a complete shard ({error})') from error


def _locate_frames(videos: Sequence[StoredVideo], members: Sequence[zipfile.ZipInfo]) -> np.ndarray:
    """Compute the rows of :data:`FRAME` from the ZIP directory alone."""
    numbers = [(video, frame) for video, stored in enumerate(videos) for frame in stored.frames]
    times = [time for stored in videos
             for time in stored.times or [math.nan] * len(stored.frames)]
    names = [_member(*number) for number in numbers]
    if [member.filename for member in members] != [*names, VIDEOS_FILE]:
        raise InputError(f'its members are not the frames that {VIDEOS_FILE} lists')
    # Reading the local headers instead would cost one seek per frame across the complete file.
    rows = [(member.header_offset + HEADER_SIZE + len(name), member.file_size, member.CRC, frame,
             time) for member, name, (_, frame), time in zip(
                members, names, numbers, times, strict=False)]
    # A gap means that a local header is longer than computed, as other ZIP writers make it: the
    # offset would then point into the header instead of the image.
    if any(start + size != following.header_offset
           for (start, size, *_), following in zip(rows, members[1:], strict=True)):
        raise InputError('its members are not contiguous: damaged, or rewritten by another program')
    return np.array(rows, FRAME)


def _member(video: int, frame: int) -> str:
    return f'{video:06d}/{frame:06d}.jpg'
