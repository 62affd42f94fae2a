"""The bad videos of a dataset, and the limit of their number."""
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mmengine.logging import print_log

from vicmae_mm.utils.errors import RunError

from .ledger import BadVideoLedger, Part, Segment, match_entries, part_of

_REMEDIES = dict(
    video='Check data_root and data_prefix if files are missing; find and remove or replace the '
          'bad files (vicmae check-videos)',
    image='Check data_root and data_prefix if files are missing; remove or replace the bad files')
MACHINE_REMEDY = ('Most of these files may be good: the machine fails. Check disks and mounts, '
                  'permissions, memory and the limit of open files (ulimit -n), then use --resume')
DEFAULT_SHARE, TOLERATED = 0.05, 3


class TooManyBadVideosError(RunError):
    """The share of videos that cannot be read exceeds the dataset's limit."""


@dataclass(eq=False)
class BadVideos:
    """The bad videos of one dataset.

    Each process remembers those that it found. With a ledger (:meth:`share`) it also learns those
    of the other workers and ranks, so that counts are over all processes. Files that the machine
    failed to read count, but are not remembered as bad. Of a video that is cut, single segments are
    bad, or all of them if it cannot be opened.
    """

    dataset: str  # its list or folder; all but the limit is for messages
    # Limit of bad / all videos, in [0, 1]. None: 0.05, or three if that is more and most are good.
    max_share: float | None
    remedy: str = ''  # what to do about bad videos, if not the usual
    noun: str = 'video'  # or 'image'
    owner: str = 'the dataset'  # that has the setting ``max_bad_share``

    def __post_init__(self) -> None:
        self.remedy = self.remedy or _REMEDIES[self.noun]
        self.segments: dict[str, list[Segment]] = {}  # of each video that is cut
        self.num_segments = 0  # of all of them
        self.ledger: BadVideoLedger | None = None
        self._reasons: dict[Part, str] = {}
        self._bad_segments: Counter[str] = Counter()  # of each file, those with a reason
        self._count = 0
        self._machine: set[Part] = set()  # those among them that the machine failed to read

    def __contains__(self, part: Part) -> bool:
        return any(each in self._reasons and each not in self._machine
                   for each in {part, _file(part)})

    def __len__(self) -> int:
        return self._count

    def total(self, num_samples: int) -> int:
        """The number that bad ones are a share of: samples, or segments if these are more."""
        return max(num_samples, self.num_segments)

    def share(self, ledger_path: str, filenames: Callable[[], Iterable[str]]) -> None:
        """Use the ledger ``ledger_path``, and take over the entries of an earlier run.

        An entry counts if it names a video of this dataset, or a segment, whose file still has the
        same size and modification time, unless a process crashed or ran out of time over it.
        ``filenames`` returns the paths of the dataset's videos, and is called only if there are
        entries.
        """
        self.ledger = BadVideoLedger(ledger_path)
        if entries := self.ledger.read_new():
            for part, entry in match_entries(entries, filenames()).items():
                if not entry.get('try_again') and (
                        isinstance(part, str) or part[1] in self.segments.get(part[0], ())):
                    self._note(part, entry['reason'])

    def refresh(self) -> None:
        """Learn what other processes have found since the last call."""
        if self.ledger is not None:
            self._learn(self.ledger.read_new())

    def add(self, part: Part, reason: str, try_again: bool = False, machine: bool = False) -> None:
        """Remember a bad video, or a segment; log it and write it to the ledger once in all.

        With ``try_again``, the next run tries the video again though its file is unchanged. With
        ``machine``, for one that the machine failed to read, this run does so, too. Of the bad
        segments of a video, only the first is logged.
        """
        if machine and part in self._reasons:
            return
        path, segment = (part, None) if isinstance(part, str) else part
        self._note(part, reason, machine)
        is_new = True
        if self.ledger is not None:
            try:
                entries, is_new = self.ledger.add(
                    path, reason, self.dataset, try_again or machine, machine, segment)
                self._learn(entries)
            except OSError as error:
                # Not worth ending a training of days for: only the count becomes inexact.
                print_log(f'{self.ledger.path} cannot be written ({error}): each process counts '
                          'only the bad videos that it finds itself.', 'current', logging.WARNING)
        if is_new and (segment is None or self._weight(path) == 1):
            what = 'The machine failed to read a file' if machine else (
                f'Skipped a bad {"segment" if segment else self.noun}')
            more = '. Further ones of this video are counted, without a warning' * bool(segment)
            print_log(f'{what} and drew another one: {_named(part)}: {reason}{more}', 'current',
                      logging.WARNING)

    def forget(self, *parts: Part) -> None:
        """Stop counting these files, by default all, that the machine failed to read."""
        for part in self._machine.intersection(parts or self._machine):
            self._note(part, None)

    def check(self, num_videos: int) -> None:
        """Raise TooManyBadVideosError if so many of ``num_videos`` exceed the limit."""
        share, few, num_videos = self.max_share, 0, self.total(num_videos)
        if share is None:
            share, few = DEFAULT_SHARE, min(TOLERATED, (num_videos - 1) // 2)
        if len(self) <= max(share * num_videos, few):
            return
        limit = f'{share:.1%}' if share * num_videos >= few else few
        examples = '\n'.join(f'  {_named(part)}: {reason}'
                             for part, reason in list(self._reasons.items())[:3])
        all_listed = '' if self.ledger is None else f'All are listed in {self.ledger.path}.\n'
        noun, failing = 'segment' if self.segments else self.noun, len(self._machine)
        machine = f' ({failing:,} of them because the machine fails, not the files)' * bool(failing)
        raise TooManyBadVideosError(
            f'Too many bad {noun}s: {len(self):,} of {num_videos:,} '
            f'({len(self) / num_videos:.1%}) of {self.dataset!r} cannot be opened or decoded'
            f'{machine}; the limit is {limit}. For example:\n{examples}\n{all_listed}'
            f'{MACHINE_REMEDY if 2 * failing > len(self) else self.remedy}; '
            f'or raise max_bad_share of {self.owner}.')

    def _learn(self, entries: list[dict]) -> None:
        for entry in entries:
            part = part_of(entry)
            if entry['dataset'] == self.dataset and part not in self._reasons:
                self._note(part, entry['reason'], entry.get('machine', False))

    def _note(self, part: Part, reason: str | None, machine: bool = False) -> None:
        """Set the reason of a part, or remove it, in constant time."""
        file, had_one = _file(part), part in self._reasons
        before = self._weight(file)
        if reason is None:
            del self._reasons[part]
        else:
            self._reasons[part] = reason
        if part != file:
            self._bad_segments[file] += (reason is not None) - had_one
        self._count += self._weight(file) - before
        (self._machine.add if machine else self._machine.discard)(part)

    def _weight(self, file: str) -> int:
        return (max(len(self.segments.get(file, ())), 1) if file in self._reasons else
                self._bad_segments[file])


def _file(part: Part) -> str:
    return part if isinstance(part, str) else part[0]


def _named(part: Part) -> str:
    return part if isinstance(part, str) else '{}, {:g} to {:g} s'.format(part[0], *part[1])
