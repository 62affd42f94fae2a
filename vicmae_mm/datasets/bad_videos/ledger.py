"""``bad_videos.jsonl``: one line per bad video, shared by all processes of a run."""
import fcntl
import json
import logging
import math
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timezone
from typing import BinaryIO

from mmengine.logging import print_log

from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.file_state import file_state

Segment = tuple[float, float]  # begin and end in seconds, the end not included
Part = str | tuple[str, Segment]  # a file, or a segment of it


class BadVideoLedger:
    """The file to which all workers and ranks append their bad videos.

    A line is a JSON object: ``path``, ``reason``, ``time`` (UTC, ISO 8601), ``size`` and
    ``mtime_ns`` of the file (null if missing), ``dataset`` (its list or folder), ``try_again``
    (whether the next run should try the unchanged file again), ``machine`` (whether the machine
    could not read the file, which may be good). If only a segment of the file is bad, there is also
    ``segment``: begin and end in seconds, null for the end of the file.

    The file need not exist, but its folder must.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._offset = 0

    def read_new(self) -> list[dict]:
        """Entries that any process added since the last call."""
        if not os.path.exists(self.path):
            return []
        with open(self.path, 'rb') as file:
            return self._read_new(file)

    def add(self, video: str, reason: str, dataset: str,
            try_again: bool = False, machine: bool = False,
            segment: Segment | None = None) -> tuple[list[dict], bool]:
        """Append a bad video, or segment, unless another process has done so since the last call.

        Returned are the entries added since the last call, including this one if it was written,
        and whether it was. If the file cannot be written, an OSError is raised.
        """
        size, mtime = file_state(video)
        entry: dict = dict(path=video, reason=reason, time=datetime.now(timezone.utc).isoformat(
            timespec='seconds'), size=size, mtime_ns=mtime, dataset=dataset,
            try_again=try_again, machine=machine)
        if segment is not None:
            entry['segment'] = [time if time < math.inf else None for time in segment]
        # Reading before writing, under one lock: two workers often meet the same video at once.
        with open(self.path, 'a+b') as file:
            # Closing the file unlocks it. Without locks (Lustre mounted without -o flock), two
            # processes may both write a video, which does no harm.
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            entries = self._read_new(file)
            if any(other['path'] == video and (other['size'], other['mtime_ns']) == (size, mtime)
                   and other.get('segment') == entry.get('segment') for other in entries):
                return entries, False
            # A single write in append mode: readers, which take no lock, see all of it or nothing.
            # It begins with a line break if a killed process left a partial line.
            partial = file.seek(0, os.SEEK_END) > self._offset
            file.write(b'\n' * partial + json.dumps(entry, ensure_ascii=False).encode(
                'utf-8', 'surrogateescape') + b'\n')
            file.flush()
            self._offset = file.tell()
        return [*entries, entry], True

    def _read_new(self, file: BinaryIO) -> list[dict]:
        file.seek(self._offset)
        lines = file.read()
        # An incomplete last line is being written, or was cut off by a kill: try it again later.
        end = lines.rfind(b'\n') + 1
        self._offset += end
        entries = (_parse(line) for line in lines[:end].splitlines())
        return [entry for entry in entries if entry is not None]


def _parse(line: bytes) -> dict | None:
    try:
        entry = json.loads(line.decode('utf-8', 'surrogateescape'))
        if {'path', 'reason', 'size', 'mtime_ns', 'dataset'} <= entry.keys():
            part_of(entry)
            return entry if isinstance(entry['path'], str) else None
    except (ValueError, AttributeError, TypeError):
        pass
    return None  # a partial line of a killed process, or a manual edit


def part_of(entry: dict) -> Part:
    """What an entry is about: a file, or a segment of it."""
    if entry.get('segment') is None:
        return entry['path']
    begin, end = entry['segment']
    return entry['path'], (float(begin), math.inf if end is None else float(end))


def read_bad_videos(path: str, videos: Iterable[str]) -> dict[Part, dict]:
    """Find the videos and segments that a ledger names as bad, in files that are unchanged.

    Paths are compared as absolute paths, without following links. Returned is the last entry of
    each, by its path as given in ``videos``.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not a list of bad videos.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'The list of bad videos {path!r} does not exist: '
                                'vicmae check-videos and training write such lists.')
    entries = BadVideoLedger(path).read_new()
    if not entries and os.path.getsize(path):
        raise InputError(f'{path!r} is not a list of bad videos: expected one JSON object per '
                         'line, as vicmae check-videos writes them.')
    bad = match_entries(entries, videos)
    if not bad and not all(entry.get('machine') for entry in entries):
        print_log(f'None of the {len(entries):,} videos that {path} names matches one here, for '
                  f'example {entries[0]["path"]!r}: their absolute paths are different, or the '
                  'files have changed since.', 'current', logging.WARNING)
    return bad


def match_entries(entries: list[dict], videos: Iterable[str]) -> dict[Part, dict]:
    """The last of these entries for each video, or segment, whose file is unchanged."""
    last: dict[str, dict[str, dict]] = {}
    for entry in entries:
        # The machine's faults are no reason to leave a file out of a later run.
        if not entry.get('machine'):
            last.setdefault(os.path.abspath(entry['path']), {})[str(entry.get('segment'))] = entry
    # Of millions of videos, few are made absolute.
    names = {path.rpartition(os.sep)[2] for path in last}
    videos = (video for video in videos if video.rpartition(os.sep)[2] in names)
    return {part_of(dict(entry, path=video)): entry
            for video in videos for entry in last.get(os.path.abspath(video), {}).values()
            if file_state(video) == (entry['size'], entry['mtime_ns'])} if last else {}
