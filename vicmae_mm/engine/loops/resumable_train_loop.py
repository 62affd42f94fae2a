"""The epoch-based loop that goes on in the middle of an epoch."""
import logging
from typing import Any

from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop

from vicmae_mm.registry import LOOPS
from vicmae_mm.utils.errors import InputError


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """mmengine's ``EpochBasedTrainLoop``, resumed at exactly the next batch.

    mmengine's own loop starts an epoch again from its first batch when a checkpoint was
    written in the middle of it. This one goes on with the batch that would have been next;
    samples before it aren't read. Hooks get the position in the whole epoch as ``batch_idx``.

    Where it stands is kept in the message hub, which mmengine saves in every checkpoint:
    iterations at the epoch's begin, batches an epoch, global batch and the sampler's seed. The
    sampler must be able to start inside an epoch: ``vicmae_mm.EpochSampler``. The number
    of processes may change as long as the global batch (samples a step over all processes)
    stays. With another one there is no such batch, and the epoch starts again, with a warning.

    Args: as those of ``mmengine.runner.EpochBasedTrainLoop``.

    Raises:
        ValueError: On resuming inside an epoch with a sampler that can't start there.
    """

    STATE = 'epoch_state'

    def run_epoch(self) -> None:
        """Iterate one epoch, or what is left of it."""
        first = self._resume_epoch()
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for idx, data_batch in enumerate(self.dataloader, start=first):
            self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _resume_epoch(self) -> int:
        """Put the sampler where the epoch goes on; return the number of batches already done."""
        sampler = self.dataloader.batch_sampler.sampler
        batch_size = self.dataloader.batch_sampler.batch_size
        now = dict(
            global_batch=batch_size * get_world_size(), num_batches=len(self.dataloader),
            epoch=self._epoch, first_iter=self._iter, sampler_seed=getattr(sampler, 'seed', None))
        hub = self.runner.message_hub
        saved = hub.runtime_info.get(self.STATE) if self._iter else None
        if saved is None and self._iter % len(self.dataloader):
            print_log(
                f'The checkpoint was written after {self._iter} iterations by another loop, which '
                f'does not say where in an epoch of {len(self.dataloader)} batches that is: epoch '
                f'{self._epoch + 1} starts with its first sample.', 'current', logging.WARNING)
        if saved is not None and saved['sampler_seed'] is not None:
            # without a seed in the config, mmengine draws another one for the sampler
            now['sampler_seed'] = sampler.seed = saved['sampler_seed']
        if saved is not None and saved['epoch'] == self._epoch and self._is_same_split(saved, now):
            now['first_iter'] = saved['first_iter']
        hub.update_info(self.STATE, now)
        done = self._iter - now['first_iter']
        if hasattr(sampler, 'start_at'):
            sampler.start_at(done * batch_size)
        elif done:
            raise InputError(
                f'The checkpoint was written after {done} of the {len(self.dataloader)} batches of '
                f'epoch {self._epoch + 1}, but {type(sampler).__name__} always starts with the '
                "first: set train_dataloader.sampler=dict(type='vicmae_mm.EpochSampler'), or "
                'resume from a checkpoint written at the end of an epoch.')
        return done

    def _is_same_split(self, saved: dict[str, Any], now: dict[str, Any]) -> bool:
        """Whether the epoch is cut into the batches of the run that wrote the checkpoint."""
        same = all(saved[key] == now[key] for key in ('global_batch', 'num_batches'))
        if not same:
            print_log(
                'The checkpoint was written inside an epoch of '
                f'{saved["num_batches"]} batches of {saved["global_batch"]} samples over all '
                f'processes; now there are {now["num_batches"]} of {now["global_batch"]}. '
                f'Its position has no counterpart, so epoch {self._epoch + 1} starts again: some '
                'samples are seen twice, and schedules counted in iterations end at the old '
                'iteration. To avoid that, keep batch size x processes.',
                'current', logging.WARNING)
        return same
