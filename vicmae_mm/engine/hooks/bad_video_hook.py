"""Where bad videos are written down, and how many there are."""
import os.path as osp
from collections.abc import Iterator
from typing import Any

from mmengine.dist import barrier
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vicmae_mm.datasets.bad_videos.skipping_dataset import SkippingDataset
from vicmae_mm.engine.runner_access import innermost_datasets
from vicmae_mm.registry import HOOKS


@HOOKS.register_module()
class BadVideoHook(Hook):
    """Keep the account of bad videos in the work dir, and in the log.

    Before training, before workers start, it gives every :class:`VideoPairDataset` and
    :class:`PackedFrameDataset` of the training dataloader (also inside mmengine's dataset
    wrappers) the file ``bad_videos.jsonl`` in the work dir. After every epoch it logs the count
    over all workers and ranks, and hands it to the loggers as ``train/bad_videos``.

    Raises:
        TooManyBadVideosError: Before training, if the videos already known to be bad from an
            earlier run in this work dir are over the dataset's limit.
    """

    FILENAME = 'bad_videos.jsonl'

    def before_train(self, runner: Runner) -> None:
        """Tell the datasets where to write."""
        self._ledger_path = osp.join(runner.work_dir, self.FILENAME)
        self._datasets = list(iter_pair_datasets(runner.train_dataloader.dataset))
        for dataset in self._datasets:
            dataset.share_bad_videos(self._ledger_path)
        barrier()  # what another rank writes from here on is of this run, not of an earlier one
        self._publish(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Log the count."""
        for dataset in self._datasets:
            dataset.bad_videos.refresh()
        bad, total = self._publish(runner)
        if self._datasets:
            see = f', see {self._ledger_path}' if bad else ''
            runner.logger.info(f'bad videos: {bad:,} of {total:,} ({100 * bad / total:.3f} %){see}')

    def _publish(self, runner: Runner) -> tuple[int, int]:
        bad = sum(len(dataset.bad_videos) for dataset in self._datasets)
        total = sum(len(dataset) for dataset in self._datasets)
        if self._datasets:
            runner.message_hub.update_scalar('train/bad_videos', float(bad))
        return bad, total


def iter_pair_datasets(dataset: Any) -> Iterator[SkippingDataset]:
    """The datasets that skip bad videos in a dataset, each once, through any wrappers."""
    return (item for item in innermost_datasets(dataset) if isinstance(item, SkippingDataset))
