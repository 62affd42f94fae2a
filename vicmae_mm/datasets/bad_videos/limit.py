"""Which videos of a dataset are bad, and when there are too many."""
import logging
from collections.abc import Callable

from mmengine.logging import print_log

from vicmae_mm.utils.errors import RunError

from .ledger import BadVideoLedger, match_entries

REMEDY = ('Check data_root and data_prefix if files are missing; find and remove or replace the '
          'bad files (tools/data/check_videos.py)')


class TooManyBadVideosError(RunError):
    """The share of videos that can't be read has passed the dataset's limit."""


class BadVideos:
    """The bad videos of one dataset.

    Each process remembers those it met. With a ledger (:meth:`share`) it also learns
    those of the other workers and ranks, so that counts are over all processes; without
    one, a process counts its own.

    Args:
        dataset (str): The list or folder the dataset comes from, as named in messages.
        max_share (float): Limit of bad / all videos, in [0, 1].
        remedy (str): What to do about bad ones, for the message where there are too many.
    """

    def __init__(self, dataset: str, max_share: float, remedy: str = REMEDY) -> None:
        self.dataset = dataset
        self.max_share = max_share
        self.remedy = remedy
        self.ledger: BadVideoLedger | None = None
        self._reasons: dict[str, str] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._reasons

    def __len__(self) -> int:
        return len(self._reasons)

    def share(self, ledger_path: str, filenames: Callable[[], set[str]]) -> None:
        """Use a ledger, and take over what an earlier run wrote there.

        A video it names counts as bad only if it is one of this dataset and its file is still
        the same (size and modification time): repaired ones are tried again, and so are those
        over which a process crashed or ran out of time.

        Args:
            ledger_path (str): Path of the jsonl file.
            filenames (Callable): Returns the paths of the dataset's videos; called only if there
                are entries (it reads every record).
        """
        self.ledger = BadVideoLedger(ledger_path)
        entries = self.ledger.read_new()
        if entries:
            self._reasons.update((path, entry['reason'])
                                 for path, entry in match_entries(entries, filenames()).items()
                                 if not entry.get('try_again'))

    def refresh(self) -> None:
        """Learn what the other processes have found since."""
        if self.ledger is not None:
            self._learn(self.ledger.read_new())

    def add(self, path: str, reason: str, try_again: bool = False) -> None:
        """Remember a bad video and write it down, once over all processes.

        Args:
            path (str): The file.
            reason (str): What is wrong with it.
            try_again (bool): It may have been the machine's fault: the next run tries it again.
        """
        self._reasons[path] = reason
        is_new = True
        if self.ledger is not None:
            try:
                entries, is_new = self.ledger.add(path, reason, self.dataset, try_again)
                self._learn(entries)
            except OSError as error:
                print_log(f'{self.ledger.path} can not be written ({error}): bad videos are '
                          'counted in each process alone.', 'current', logging.WARNING)
        if is_new:
            print_log(f'Skipped a bad video, another is drawn in its place: {path}: {reason}',
                      'current', logging.WARNING)

    def check(self, num_videos: int) -> None:
        """Stop when there are too many.

        Args:
            num_videos (int): Size of the dataset.

        Raises:
            TooManyBadVideosError: ``len(self) / num_videos`` is over the limit.
        """
        if len(self) <= self.max_share * num_videos:
            return
        examples = '\n'.join(f'  {path}: {reason}'
                             for path, reason in list(self._reasons.items())[:3])
        written = '' if self.ledger is None else f'All are listed in {self.ledger.path}.\n'
        raise TooManyBadVideosError(
            f'Too many bad videos: {len(self):,} of {num_videos:,} '
            f'({len(self) / num_videos:.1%}) of {self.dataset!r} can not be opened or decoded, '
            f'the limit is {self.max_share:.1%}. For example:\n{examples}\n{written}'
            f'{self.remedy}; or raise max_bad_share of the dataset.')

    def _learn(self, entries: list[dict]) -> None:
        for entry in entries:
            if entry['dataset'] == self.dataset:
                self._reasons.setdefault(entry['path'], entry['reason'])
