"""Finding the videos that cannot be read, and recording which files were checked."""
import json
import re
from collections.abc import Iterable, Mapping

from vicmae_mm.datasets.bad_videos.ledger import BadVideoLedger
from vicmae_mm.datasets.readers import MachineError, VideoError, open_video
from vicmae_mm.datasets.readers.pyav_reader import count_frames
from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.file_state import FileState, file_state


def check_video(path: str, every_frame: bool = False) -> str | MachineError | None:
    """Decode every, or the first, middle and last frame of a video, as a dataset would.

    Returns:
        What is wrong with the file; None if it is good; an error if the machine cannot read it.

    Raises:
        ImportError: The decoder is not installed.
    """
    try:
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


class CheckRecord:
    """An append-only file of the videos that were checked, with the results.

    Each line is a JSON object: ``path``, ``size`` and ``mtime_ns`` of the file when it was checked
    (null if missing), ``whole`` (whether every frame was decoded) and ``reason`` (null for a good
    video).
    """

    def __init__(self, path: str) -> None:
        self._known: dict[str, dict] = {}
        self._file = open(path, 'a+', encoding='utf-8')
        self._file.seek(0)
        for line in self._file:
            self._learn(line)
        self._file.write('\n')  # ends the line that a killed run may have left incomplete

    def is_current(self, path: str, every_frame: bool) -> bool:
        """Whether the file is unchanged since it was checked, at least as thoroughly as asked."""
        entry = self._known.get(path)
        if entry is None or (entry['size'], entry['mtime_ns']) != file_state(path):
            return False
        # A file that fails the quick check would fail the thorough one, too.
        return entry['whole'] or not every_frame or entry['reason'] is not None

    def reason(self, path: str) -> str | None:
        """What was wrong with a file that was checked; None for a good one."""
        return self._known[path]['reason']

    def add(self, path: str, state: FileState, every_frame: bool, reason: str | None) -> None:
        """Write a result immediately, so that nothing is lost if the program is killed."""
        size, mtime = state
        line = json.dumps(
            dict(path=path, size=size, mtime_ns=mtime, whole=every_frame, reason=reason))
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
        except (ValueError, AttributeError, KeyError):
            # An incomplete line of a killed run: its video is checked again.
            pass


def write_bad_videos(path: str, reasons: Mapping[str, str], dataset: str) -> None:
    """Write the reason of each bad video of a list or folder, ``dataset``, as training does."""
    with atomic_write(path) as part:
        # The ledger creates its file with the first entry; without entries it must exist, too.
        part.touch()
        ledger = BadVideoLedger(str(part))
        for video, reason in reasons.items():
            ledger.add(video, reason, dataset)


def summarize(reasons: Iterable[str]) -> str:
    """Count bad videos by reason; reasons that differ only in numbers are counted together."""
    groups: dict[str, list[str]] = {}
    for reason in reasons:
        groups.setdefault(re.sub(r'\d+', 'N', reason), []).append(reason)
    lines = [(len(group), group[0] if len(set(group)) == 1 else pattern)
             for pattern, group in groups.items()]
    return '\n'.join(f'{count:>8,}  {reason}' for count, reason in sorted(lines, reverse=True))


def report_videos(total: int, bad: Mapping[str, str], bad_file: str, unread: Mapping[str, str],
                  stopped: bool) -> int:
    """Print what came of ``total`` videos, with reasons by path; return the exit status."""
    print(f'{len(bad):,} of {total:,} videos are bad -> {bad_file}')
    if bad:
        print(summarize(bad.values()))
    if unread:
        print(f'{len(unread):,} videos could not be read now, such as {next(iter(unread))}:\n'
              f'{summarize(unread.values())}\nThat is a fault of this machine or its disks, so '
              'they are not listed as bad: fix it, and run the same command again.')
    if stopped:
        print('Stopped before all were done. Run the same command to continue.')
        return 130
    return 2 if unread else 1 if bad else 0
