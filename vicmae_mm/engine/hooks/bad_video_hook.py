"""Recording and counting bad videos and images."""
import os.path as osp
from collections.abc import Iterator
from typing import Any

from mmengine.dist import barrier
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vicmae_mm.datasets.bad_videos.skipping_dataset import BadFileSkipping
from vicmae_mm.datasets.innermost import innermost_datasets
from vicmae_mm.datasets.seeded_samples import SeededSamples
from vicmae_mm.registry import HOOKS


@HOOKS.register_module()
class BadVideoHook(Hook):
    """Record bad videos and images in the work dir, and log their number.

    Before the workers start, every dataset of the training dataloader that skips bad files
    (:class:`VideoPairDataset`, :class:`LabelledImages`, :class:`SeededSamples`, ...; also inside
    wrappers) records them in ``bad_videos.jsonl`` in the work dir. After every epoch, the total of
    all workers and ranks is logged, also as ``train/bad_videos``. It may include files that workers
    read ahead. Datasets for validation and testing get ``test_mode=True``: a bad file is an error,
    because another one in its place would change the result. If the bad files of earlier runs in
    this work dir exceed the limit, training does not start: it raises a TooManyBadVideosError.
    """

    FILENAME = 'bad_videos.jsonl'

    def before_train(self, runner: Runner) -> None:
        """Give the datasets the file to write to."""
        self._ledger_path = osp.join(runner.work_dir, self.FILENAME)
        self._datasets = list(iter_pair_datasets(runner.train_dataloader.dataset))
        for dataset in self._datasets:
            dataset.share_bad_videos(self._ledger_path)
        # Every rank has read the entries of earlier runs before any rank adds one of this run.
        barrier()
        self.count(runner)

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        if mode != 'train':
            for dataset in iter_pair_datasets(getattr(runner, f'{mode}_dataloader').dataset):
                dataset.test_mode = True

    def after_train_epoch(self, runner: Runner) -> None:
        """Log the number of bad videos."""
        bad, total = self.count(runner)
        for dataset in self._datasets:
            dataset.bad_videos.forget()  # the machine's faults would add up in a long run
        if self._datasets:
            see = f', see {self._ledger_path}' if bad else ''
            kinds = ' and '.join(sorted({f'{item.bad_videos.noun}s' for item in self._datasets}))
            share = f'{100 * bad / total:.3f} %'
            runner.logger.info(f'bad {kinds}: {bad:,} of {total:,} ({share}){see}')

    def count(self, runner: Runner) -> tuple[int, int]:
        """Log how many are bad now, and return it with the number of all."""
        for dataset in self._datasets:
            dataset.bad_videos.refresh()
        bad = sum(len(dataset.bad_videos) for dataset in self._datasets)
        total = sum(dataset.bad_videos.total(len(dataset)) for dataset in self._datasets)
        if self._datasets:
            runner.message_hub.update_scalar('train/bad_videos', float(bad))
        return bad, total


def iter_pair_datasets(dataset: Any) -> Iterator[BadFileSkipping]:
    """The datasets that skip bad files, each once, inside any wrappers."""
    items = innermost_datasets(
        dataset, lambda item: isinstance(item, SeededSamples) and item.skips)
    return (item for item in items if isinstance(item, BadFileSkipping))
