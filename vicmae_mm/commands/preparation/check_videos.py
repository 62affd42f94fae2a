"""Finding the videos that cannot be read, and recording which files were checked."""
import json
import math
import re
from collections.abc import Iterable, Mapping

import numpy as np

from vicmae_mm.datasets.bad_videos.ledger import BadVideoLedger, Segment
from vicmae_mm.datasets.readers import MachineError, VideoError, open_video
from vicmae_mm.datasets.readers.pyav_reader import PyAVReader, count_frames
from vicmae_mm.datasets.segments import cut_segments, read_duration
from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.errors import SOME_ARE_BAD
from vicmae_mm.utils.file_state import FileState, file_state

from .pack_video import MAX_HELD

Damage = str | dict[Segment, str]  # what is wrong with a file, or with some segments of it


def check_video(path: str, every_frame: bool = False,
                segment_seconds: float = 0.) -> Damage | MachineError | None:
    """Decode every, or the first, middle and last frame of a video, as a dataset would.

    With ``segment_seconds``, these are the frames of each segment that a dataset cuts out. Returned
    is what is wrong with the file; None if it is good; an error if the machine cannot read it.
    """
    try:
        segments = segment_seconds and cut_segments(
            read_duration(path), segment_seconds, segment_seconds)
        if segments:
            damaged = _damaged_segments(path, segments, every_frame)
            if len(damaged) < len(segments):
                return damaged or None
        with open_video(path) as video:
            last = video.num_frames - 1
            video.get_frames([0, last // 2, last])
            if every_frame:
                decoded = count_frames(path, *file_state(path))
                if decoded < video.num_frames:
                    return f'only {decoded} of its {video.num_frames} frames decode'
    except ImportError:
        raise
    except VideoError as error:
        return error if isinstance(error, MachineError) else error.reason
    # Training skips only files that raise VideoError: anything else would stop it.
    except Exception as error:
        return f'reading it fails ({type(error).__name__}: {error})'
    return None


def _damaged_segments(path: str, segments: list[Segment], every_frame: bool) -> dict[Segment, str]:
    damaged = {}
    with PyAVReader(path) as video:
        video.most_concealed = 0
        index, ends = video.index, np.zeros(0, int)
        if not index.unreliable_reason and not every_frame:
            # With the last frame before each keyframe, all that others refer to is decoded.
            last = np.array([*index.keyframes[1:], len(index.pts)]) - 1
            ends = np.flatnonzero(np.isin(index.shown, last))
        bounds = np.searchsorted(video.frame_times, segments)
        for segment, (first, end) in zip(segments, bounds.tolist(), strict=True):
            try:
                if first == end:
                    raise VideoError(path, 'has no frame there')
                wanted = range(first, end) if every_frame else sorted({
                    first, (first + end) // 2, end - 1, *ends[(first <= ends) & (ends < end)]})
                for at in range(0, len(wanted), MAX_HELD):
                    video.get_frames(wanted[at:at + MAX_HELD])
            except MachineError:
                raise
            except VideoError as error:
                damaged[segment] = error.reason
    return damaged


class CheckRecord:
    """An append-only file of the videos that were checked, with the results.

    Each line is a JSON object: ``path``, ``size`` and ``mtime_ns`` of the file when it was checked
    (null if missing), ``whole`` (whether every frame was decoded), ``segment_seconds`` and
    ``reason`` (null for a good video; for damaged segments, a list of begin, end and reason).
    """

    def __init__(self, path: str) -> None:
        self._known: dict[str, dict] = {}
        self._file = open(path, 'a+', encoding='utf-8', errors='replace')
        self._file.seek(0)
        for line in self._file:
            self._learn(line)
        self._file.write('\n')  # ends the line that a killed run may have left incomplete

    def is_current(self, path: str, every_frame: bool, segment_seconds: float = 0.) -> bool:
        """Whether the file is unchanged since it was checked, at least as thoroughly as asked."""
        entry = self._known.get(path)
        if entry is None or (entry['size'], entry['mtime_ns']) != file_state(path):
            return False
        # A file that fails the quick check would fail the thorough one, too.
        if isinstance(entry['reason'], str):
            return True
        return (entry['whole'] or not every_frame) and (
            entry.get('segment_seconds', 0.) == segment_seconds)

    def reason(self, path: str) -> Damage | None:
        """What was wrong with a file that was checked; None for a good one."""
        reason = self._known[path]['reason']
        return {(begin, math.inf if end is None else end): text for begin, end, text in reason
                } if isinstance(reason, list) else reason

    def add(self, path: str, state: FileState, every_frame: bool, reason: Damage | None,
            segment_seconds: float = 0.) -> None:
        """Write a result immediately, so that nothing is lost if the program is killed."""
        size, mtime = state
        listed = reason if not isinstance(reason, dict) else [
            (begin, end if end < math.inf else None, text)
            for (begin, end), text in reason.items()]
        line = json.dumps(dict(path=path, size=size, mtime_ns=mtime, whole=every_frame,
                               segment_seconds=segment_seconds, reason=listed))
        self._file.write(line + '\n')
        self._file.flush()
        self._learn(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _learn(self, line: str) -> None:
        try:
            entry = json.loads(line)
            if {'size', 'mtime_ns', 'whole', 'reason'} <= entry.keys():
                self._known[entry['path']] = entry
        except (ValueError, AttributeError, KeyError, TypeError):
            # An incomplete line of a killed run: its video is checked again.
            pass


def write_bad_videos(path: str, reasons: Mapping[str, Damage], dataset: str) -> None:
    """Write the reason of each bad video of a list or folder, ``dataset``, as training does."""
    with atomic_write(path) as part:
        # The ledger creates its file with the first entry; without entries it must exist, too.
        part.touch()
        ledger = BadVideoLedger(str(part))
        for video, reason in reasons.items():
            for segment, text in (reason if isinstance(reason, dict) else {None: reason}).items():
                ledger.add(video, text, dataset, segment=segment)


def summarize(reasons: Iterable[str]) -> str:
    """Count bad videos by reason; reasons that differ only in numbers are counted together."""
    groups: dict[str, list[str]] = {}
    for reason in reasons:
        groups.setdefault(re.sub(r'\d+', 'N', reason), []).append(reason)
    lines = [(len(group), group[0] if len(set(group)) == 1 else pattern)
             for pattern, group in groups.items()]
    return '\n'.join(f'{count:>8,}  {reason}' for count, reason in sorted(lines, reverse=True))


def _describe_damage(path: str, segments: dict[Segment, str]) -> str:
    """One line, in which neighbouring segments are one part."""
    begins, ends = map(set, zip(*segments, strict=True))
    parts = zip(sorted(begins - ends), sorted(ends - begins), strict=True)
    where = ', '.join(f'{begin:g} s to {"the end" if end == math.inf else f"{end:g} s"}'
                      for begin, end in parts)
    return f'{path} is damaged from {where}: {next(iter(segments.values()))}'


def report_videos(total: int, bad: Mapping[str, Damage], bad_file: str, unread: Mapping[str, str],
                  stopped: bool) -> int:
    """Print what came of ``total`` videos, with reasons by path; return the exit status."""
    whole = [reason for reason in bad.values() if isinstance(reason, str)]
    print(f'{len(whole):,} of {total:,} videos are bad -> {bad_file}')
    if whole:
        print(summarize(whole))
    for path, reason in bad.items():
        if isinstance(reason, dict):
            print(_describe_damage(path, reason))
    if unread:
        print(f'{len(unread):,} videos could not be read now, such as {next(iter(unread))}:\n'
              f'{summarize(unread.values())}\nThat is a fault of this machine or its disks, so '
              'they are not listed as bad: fix it, and run the same command again.')
    if stopped:
        print('Stopped before all were done. Run the same command to continue.')
        return 130
    return 1 if unread else SOME_ARE_BAD if bad else 0
