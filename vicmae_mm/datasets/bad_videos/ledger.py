"""``bad_videos.jsonl``: one line a bad video, written once by all processes of a run."""
import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import BinaryIO

from mmengine.logging import print_log

from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.file_state import file_state


class BadVideoLedger:
    """The file that every worker and rank adds its bad videos to.

    A line is a JSON object: ``path``, ``reason``, ``time`` (UTC, ISO 8601), ``size`` and
    ``mtime_ns`` of the file (null if missing), ``dataset`` (the list or folder it comes from),
    ``try_again`` (whether it may have been the machine's fault).
    Lines are appended under a lock, after reading what the others have added; where the file
    system has no locks, two processes that meet one video at once may both write it.

    Args:
        path (str): The file; need not exist yet, its folder must.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._offset = 0

    def read_new(self) -> list[dict]:
        """Entries added since the last call, by anybody."""
        if not os.path.exists(self.path):
            return []
        with open(self.path, 'rb') as file:
            return self._read_new(file)

    def add(self, video: str, reason: str, dataset: str,
            try_again: bool = False) -> tuple[list[dict], bool]:
        """Write a bad video down, unless somebody has just done so.

        Returns:
            tuple[list[dict], bool]: The entries added since the last call, including this one
            if written, and whether it was.

        Raises:
            OSError: The file can't be written.
        """
        size, mtime = file_state(video)
        entry = dict(path=video, reason=reason, time=datetime.now(timezone.utc).isoformat(
            timespec='seconds'), size=size, mtime_ns=mtime, dataset=dataset,
            try_again=try_again)
        with open(self.path, 'a+b') as file, _locked(file):
            entries = self._read_new(file)
            if any(other['path'] == video and (other['size'], other['mtime_ns']) == (size, mtime)
                   for other in entries):
                return entries, False
            # One write in append mode: a reader never sees half a line of ours.
            file.write(self._newline(file) + json.dumps(entry, ensure_ascii=False).encode(
                'utf-8', 'surrogateescape') + b'\n')
            file.flush()
            self._offset = file.tell()
        return [*entries, entry], True

    def _read_new(self, file: BinaryIO) -> list[dict]:
        file.seek(self._offset)
        lines = file.read()
        end = lines.rfind(b'\n') + 1
        self._offset += end
        entries = (_parse(line) for line in lines[:end].splitlines())
        return [entry for entry in entries if entry is not None]

    @staticmethod
    def _newline(file: BinaryIO) -> bytes:
        """What must precede a new line: a break, if a killed process left half a line."""
        if file.seek(0, os.SEEK_END) == 0:
            return b''
        file.seek(-1, os.SEEK_END)
        return b'' if file.read(1) == b'\n' else b'\n'


def _parse(line: bytes) -> dict | None:
    try:
        entry = json.loads(line.decode('utf-8', 'surrogateescape'))
        if {'path', 'reason', 'size', 'mtime_ns', 'dataset'} <= entry.keys():
            return entry if isinstance(entry['path'], str) else None
    except (ValueError, AttributeError):
        pass
    return None  # half a line of a killed process, or somebody's edit


def read_bad_videos(path: str, videos: Iterable[str]) -> dict[str, dict]:
    """Which of some videos a ledger names as bad, their files being what they were then.

    However the paths are written, it is the same video if they lead to the same place from here;
    links are not followed.

    Args:
        path (str): A ``bad_videos.jsonl``.
        videos (Iterable[str]): Paths; looked at only if there are entries.

    Returns:
        dict[str, dict]: The last entry for each bad one, by its path as given in ``videos``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is something else than such a list.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'The list of bad videos {path!r} does not exist: '
                                'tools/data/check_videos.py writes one, and training does.')
    entries = BadVideoLedger(path).read_new()
    if not entries and os.path.getsize(path):
        raise InputError(f'{path!r} is no list of bad videos: it should have a JSON object a line, '
                         'as in the bad_videos.jsonl that tools/data/check_videos.py writes.')
    bad = match_entries(entries, videos)
    if entries and not bad:
        print_log(f'None of the {len(entries):,} videos that {path} names is there as it was: '
                  'their paths are others, as seen from here, or the files have changed since. For '
                  f'example {entries[0]["path"]!r}.', 'current', logging.WARNING)
    return bad


def match_entries(entries: list[dict], videos: Iterable[str]) -> dict[str, dict]:
    """The same of entries already read."""
    last = {os.path.abspath(entry['path']): entry for entry in entries}
    if not last:
        return {}
    named = ((video, last.get(os.path.abspath(video))) for video in videos)
    return {video: entry for video, entry in named
            if entry and file_state(video) == (entry['size'], entry['mtime_ns'])}


@contextmanager
def _locked(file: BinaryIO) -> Iterator[None]:
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:  # e.g. Lustre mounted without -o flock
        yield
        return
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
