"""Finding the videos that can't be read, and remembering which were looked at."""
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import TextIO

from vicmae_mm.datasets.bad_videos.ledger import BadVideoLedger
from vicmae_mm.datasets.readers import VideoError, open_video
from vicmae_mm.datasets.readers.container import file_identity
from vicmae_mm.datasets.readers.pyav_reader import count_frames
from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.file_state import FileState, file_state


def check_video(path: str) -> str | None:
    """Decode the first, middle and last frame of a video, as a dataset would.

    Returns:
        str | None: What is wrong with the file, None if nothing is.

    Raises:
        ImportError: The decoder is not installed.
    """
    return _problem(path, whole=False)


def check_whole_video(path: str) -> str | None:
    """Like :func:`check_video`, and decode every frame."""
    return _problem(path, whole=True)


def _problem(path: str, whole: bool) -> str | None:
    try:
        with open_video(path) as video:
            last = video.num_frames - 1
            video.get_frames([0, last // 2, last])
            if whole:
                decoded = count_frames(*file_identity(path))
                if decoded < video.num_frames:
                    return f'only {decoded} of its {video.num_frames} frames decode'
    except ImportError:
        raise
    except VideoError as error:
        return error.reason
    except Exception as error:  # it would stop training, so it must be found here
        return f'reading it fails ({type(error).__name__}: {error})'
    return None


class CheckRecord:
    """Which files were checked, and with what result; a file that is only appended to.

    A line is a JSON object: ``path``, ``size`` and ``mtime_ns`` of the file when it was checked
    (null if missing), ``whole`` and ``reason`` (null for a good video).

    Args:
        path (str): The file; need not exist yet, its folder must.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._known: dict[str, dict] = {}
        self._file: TextIO | None = None
        if os.path.exists(path):
            with open(path, encoding='utf-8') as file:
                for line in file:
                    self._learn(line)

    def is_current(self, path: str, whole: bool) -> bool:
        """Whether the file was checked as it now is, and as thoroughly as asked."""
        entry = self._known.get(path)
        if entry is None or (entry['size'], entry['mtime_ns']) != file_state(path):
            return False
        return entry['whole'] or not whole or entry['reason'] is not None

    def reason(self, path: str) -> str | None:
        """What was wrong with a file that was checked; None for a good one."""
        return self._known[path]['reason']

    def add(self, path: str, state: FileState, whole: bool, reason: str | None) -> None:
        """Write a result down at once, so that nothing is lost if the program is killed."""
        size, mtime = state
        line = json.dumps(dict(path=path, size=size, mtime_ns=mtime, whole=whole, reason=reason))
        if self._file is None:
            self._file = open(self.path, 'a', encoding='utf-8')
            self._file.write('\n')  # ends the line that a killed run may have begun
        self._file.write(line + '\n')
        self._file.flush()
        self._learn(line)

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()

    def _learn(self, line: str) -> None:
        try:
            entry = json.loads(line)
            if {'size', 'mtime_ns', 'whole', 'reason'} <= entry.keys():
                self._known[entry['path']] = entry
        except (ValueError, AttributeError, KeyError):
            pass  # half a line of a killed run


def write_bad_videos(path: str, reasons: Mapping[str, str], dataset: str) -> None:
    """Write a ``bad_videos.jsonl`` as training does, replacing one that is there.

    Args:
        path (str): The file.
        reasons (Mapping): Reason by path of each bad video.
        dataset (str): The list or folder they are from.
    """
    with atomic_write(path) as part:
        part.touch()  # also where there are none
        ledger = BadVideoLedger(str(part))
        for video, reason in reasons.items():
            ledger.add(video, reason, dataset)


def summarize(reasons: Iterable[str]) -> str:
    """How many videos are bad for which reason; those that differ in numbers go together."""
    groups: dict[str, list[str]] = {}
    for reason in reasons:
        groups.setdefault(re.sub(r'\d+', 'N', reason), []).append(reason)
    lines = [(len(group), group[0] if len(set(group)) == 1 else pattern)
             for pattern, group in groups.items()]
    return '\n'.join(f'{count:>8,}  {reason}' for count, reason in sorted(lines, reverse=True))
