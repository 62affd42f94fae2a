"""The epoch-based loop that resumes in the middle of an epoch."""
import logging
from typing import Any

from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import ConcatDataset, DataLoader

from vicmae_mm.datasets.bad_videos.skipping_dataset import BadFileSkipping
from vicmae_mm.datasets.innermost import innermost_datasets
from vicmae_mm.datasets.mixed_pairs import MixedPairs
from vicmae_mm.datasets.seeded_samples import SeededSamples
from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.registry import DATASETS, LOOPS
from vicmae_mm.utils.errors import InputError

from .batch_reader import BatchReader, copied_ahead


def epoch_batches(dataloader: DataLoader) -> dict[str, Any]:
    """What has to be the same for the epochs of two runs to consist of the same batches."""
    # A sampler of batches has no size if its batches differ.
    batch_size = getattr(dataloader.batch_sampler, 'batch_size', None) or 0
    dataset: Any = dataloader.dataset
    is_mix = isinstance(dataset, MixedPairs)
    return dict(global_batch=batch_size * get_world_size(), num_batches=len(dataloader),
                num_samples=dataset.counts if is_mix else len(dataset),  # of each source
                source_sizes=dataset.sizes if is_mix else None)


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """mmengine's ``EpochBasedTrainLoop``, resumed at exactly the next batch.

    mmengine's own loop repeats an epoch from its first batch if the checkpoint was written within
    it. This one continues with the next batch; earlier samples are not read. Hooks get the
    position in the complete epoch as ``batch_idx``.

    The sampler must be able to start within an epoch: ``vicmae_mm.EpochSampler``. Datasets of
    other packages get its random streams by :class:`SeededSamples`. The number of processes may
    change if the data and the global batch (samples per step over all processes) stay the same.
    Otherwise the epoch starts again, with a warning. A ValueError if the sampler must start within
    an epoch and cannot, or if a ``MixedPairs`` is joined with other datasets.
    """

    # Key in the message hub, which mmengine saves in every checkpoint.
    STATE = 'epoch_state'

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args: Any,
                 **kwargs: Any) -> None:
        if isinstance(dataloader, dict) and isinstance(dataloader['dataset'], dict):
            dataset = dataloader['dataset']
            with DATASETS.switch_scope_and_registry(None) as registry:
                kind = registry.get(dataset['type'])
            if not (isinstance(kind, type) and issubclass(kind, (BadFileSkipping, MixedPairs))):
                dataset = dict(type='vicmae_mm.SeededSamples', dataset=dataset)
            dataloader = dict(dataloader, dataset=dataset)
        super().__init__(runner, dataloader, *args, **kwargs)
        joined = getattr(self.dataloader, 'dataset', None)
        # Not into others: the mock of mmpretrain's vis_scheduler.py has a dataset in every dataset.
        inside = innermost_datasets(joined, lambda item: isinstance(item, MixedPairs)) if (
            isinstance(joined, (SeededSamples, ConcatDataset))) else ()
        parts = [isinstance(part, MixedPairs) for part in inside]
        if any(parts) and len(parts) > 1:
            # Processes would log other names, and wait for each other.
            raise InputError('train_dataloader.dataset has a MixedPairs next to another dataset: '
                             'name all datasets in one MixedPairs.')
        self._reader = BatchReader(self.dataloader, lambda: self.max_epochs)

    def run_epoch(self) -> None:
        """Run one epoch, or the rest of it."""
        # mmpretrain's vis_scheduler.py passes a list of numbers for a loader.
        first = self._resume_epoch() if hasattr(self.dataloader, 'batch_sampler') else 0
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        # Counted from the start of the epoch: hooks find its end and their intervals by batch_idx.
        batches = copied_ahead(
            self._reader.epoch(self._epoch, len(self.dataloader) - first),
            getattr(unwrapped_model(self.runner), 'data_preprocessor', None))
        for idx, data_batch in enumerate(batches, start=first):
            self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _resume_epoch(self) -> int:
        """Move the sampler to the next batch; return the number of batches already done."""
        batches = self.dataloader.batch_sampler
        sampler, batch_size = batches.sampler, getattr(batches, 'batch_size', None)
        split = epoch_batches(self.dataloader)
        now = dict(split, epoch=self._epoch, first_iter=self._iter,
                   sampler_seed=getattr(sampler, 'seed', None))
        hub = self.runner.message_hub
        saved = hub.runtime_info.get(self.STATE) if self._iter else None
        if saved is None and self._iter % len(self.dataloader):
            print_log(
                f'The checkpoint was written after {self._iter} iterations by another loop, which '
                f'does not save the position in an epoch of {len(self.dataloader)} batches: epoch '
                f'{self._epoch + 1} starts with its first sample.', 'current', logging.WARNING)
        if saved is not None and saved['sampler_seed'] is not None:
            # Without a seed in the config, mmengine draws a different one for the sampler.
            now['sampler_seed'] = sampler.seed = saved['sampler_seed']
        if saved is not None and saved['epoch'] == self._epoch:
            if all(saved.get(key, now[key]) == now[key] for key in split):
                now['first_iter'] = saved['first_iter']
            else:
                print_log(
                    f'The checkpoint was written inside an epoch of {saved["num_batches"]} batches '
                    f'of {saved["global_batch"]} samples over all processes; now there are '
                    f'{now["num_batches"]} of {now["global_batch"]}, from {now["num_samples"]} '
                    f'samples. The position cannot be converted, so epoch {self._epoch + 1} starts '
                    'again: some samples are seen twice. To avoid that, keep batch size x '
                    'processes, and the data.', 'current', logging.WARNING)
        hub.update_info(self.STATE, now)
        done = self._iter - now['first_iter']
        if hasattr(sampler, 'start_at') and (batch_size or not done):
            sampler.start_at(done * (batch_size or 0))
        elif done:
            raise InputError(
                f'The checkpoint was written after {done} of the {len(self.dataloader)} batches of '
                f'epoch {self._epoch + 1}, but {type(sampler if batch_size else batches).__name__} '
                'always starts with the first: set train_dataloader.sampler=dict('
                "type='vicmae_mm.EpochSampler') without a batch_sampler, or resume from a "
                'checkpoint written at the end of an epoch.')
        return done
