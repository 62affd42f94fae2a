"""Checkpoints that are complete at any moment."""
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import HardDiskBackend, LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from vicmae_mm.checkpoints.backend import AtomicFileBackend, CheckpointWriteError
from vicmae_mm.checkpoints.fit import infinite_buffers, not_finite_in_training_state
from vicmae_mm.engine.late_values import settle
from vicmae_mm.engine.runner_access import current_task, unwrapped_model
from vicmae_mm.engine.starting.start import checkpoint_folder, choose_start
from vicmae_mm.engine.starting.work_dir_lock import lock_work_dir, unlock_work_dir
from vicmae_mm.engine.step_size import accumulated_batches
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.atomic_files import atomic_write_bytes, remove_leftovers
from vicmae_mm.utils.errors import InputError, RunError, some_of
from vicmae_mm.utils.main_process import on_main_process, shared_errors

_LOOK_INTERVAL = 10  # iterations after which the processes compare the time
_LOCAL = (LocalBackend, HardDiskBackend)  # the same under an old name


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, but a run never lacks a complete checkpoint.

    A checkpoint is written atomically, then ``last_checkpoint`` is, then outdated ones are removed
    (mmengine removes first and writes in place). ``--resume`` without a path continues from the
    newest undamaged checkpoint. With a remote ``out_dir`` the order is the same; whether writing
    is atomic depends on the store. While a run trains, no other may use its work dir.

    Args:
        interval_minutes: With ``by_epoch``, the most that an interrupted run loses; 0 for no limit.
            An epoch has a checkpoint if half of it is over since the last one, or a minute since
            the start. Within an epoch, ``iter_<n>.pth`` is written when all of it is over; the
            newest is kept until that of an epoch is complete.
        mid_epoch_interval: Also save every N-th iteration within an epoch; 0 for never. Rounded up
            to complete optimizer steps if gradients are accumulated.
        **kwargs: Those of ``mmengine.hooks.CheckpointHook``; with ``interval``, every N-th epoch
            has a checkpoint, too.

    Raises:
        CheckpointWriteError: A checkpoint cannot be written (disk full). Older ones are untouched.
        WorkDirInUseError: Another run trains in the work dir.
        RunError: Weights or the optimizer's state contain NaN or infinity. Nothing is written.
    """

    MID_EPOCH = 'iter_{}.pth'
    file_backend: Any
    keep_ckpt_ids: deque[int]
    last_ckpt: str | None

    def __init__(self, *args: Any, interval_minutes: float = 10., mid_epoch_interval: int = 0,
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mid_epoch_interval, self.interval_minutes = mid_epoch_interval, interval_minutes
        for name, what in (('interval_minutes', 'time, or 0'),
                           ('mid_epoch_interval', 'number of iterations, or 0 for never')):
            if getattr(self, name) < 0:
                raise InputError(f'{name}={getattr(self, name)} must be a {what}.')
        self._infinite: list[str] = []

    def before_run(self, runner: Runner) -> None:
        """Reserve the work dir, and decide what a training starts from."""
        if current_task(runner) == 'train':
            on_main_process(lambda: lock_work_dir(runner.work_dir))
        choose_start(runner)

    def after_run(self, runner: Runner) -> None:
        """Let other runs use the work dir."""
        unlock_work_dir(runner.work_dir)

    def before_train(self, runner: Runner) -> None:
        """Set up the folder, and remove leftovers of a killed run."""
        folder = checkpoint_folder(self, runner)
        self._restrict_removals(runner.message_hub.runtime_info, folder)
        super().before_train(runner)
        if type(getattr(self.file_backend, 'client', self.file_backend)) in _LOCAL:
            self.file_client_args = None
            self.backend_args = dict(backend=AtomicFileBackend.NAME)
            self.file_backend = AtomicFileBackend()
        # Checkpoints lack partly accumulated gradients: write them only after optimizer steps.
        step = accumulated_batches(runner.optim_wrapper)
        self.mid_epoch_interval = -(-self.mid_epoch_interval // step) * step
        self._look_interval = -(-_LOOK_INTERVAL // step) * step
        # The first epoch that ends after a minute has a checkpoint, for short runs to be resumed.
        self._saved_at = time.monotonic() - max(30 * self.interval_minutes - 60, 0)
        # Not by the iteration: a run resumed with other batches has another number.
        resumed = os.path.basename(str(runner._load_from))
        written = runner.message_hub.get_info('mid_epoch_ids', [])
        self._keep_mid_epoch(runner, next(
            (step for step in written if self.MID_EPOCH.format(step) == resumed), None))
        if is_main_process():
            for place in {folder, runner.work_dir}:
                for part in remove_leftovers(place):
                    runner.logger.info(f'Removed {part}, left by a killed run.')
        self._infinite = infinite_buffers(unwrapped_model(runner))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write nothing that a run could not continue from."""
        # With the lowest priority: averaged weights are in the checkpoint by now.
        if broken := not_finite_in_training_state(checkpoint, self._infinite):
            newest = self.last_ckpt or runner._load_from
            raise RunError(
                f'No checkpoint is written after {checkpoint["meta"]["iter"]} iterations: '
                f'{len(broken)} tensors are not finite (NaN or infinity): {some_of(broken)}. '
                + (f'The newest complete checkpoint is {newest}: lower the learning rate, then use '
                   '--resume.' if newest else 'Lower the learning rate, and start again.'))

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        """Save within an epoch."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        # At the end of an epoch, the epoch's own checkpoint may follow.
        if not self.by_epoch or self.end_of_epoch(runner.train_dataloader, batch_idx):
            return
        step = runner.iter + 1
        if self.every_n_train_iters(runner, self.mid_epoch_interval) or (
                step % self._look_interval == 0 and self._is_due(1)):
            settle(runner)
            runner.logger.info(f'Saving checkpoint at {step} iterations')
            written = runner.message_hub.get_info('mid_epoch_ids')
            runner.message_hub.update_info('mid_epoch_ids', [*written, step])
            self._write(runner, self.MID_EPOCH.format(step), dict(epoch=runner.epoch, iter=step))
            self._keep_mid_epoch(runner, step)

    def every_n_epochs(self, runner: Runner, n: int, start: int = 0) -> bool:
        """Whether to save at the end of an epoch."""
        return super().every_n_epochs(runner, n, start) or (
            runner.epoch + 1 >= start and self._is_due(0.5))

    def _is_due(self, share: float) -> bool:
        """Whether a share of the interval is over, by the main process's clock, for all of them."""
        seconds = 60 * self.interval_minutes * share
        return seconds > 0 and on_main_process(
            lambda: time.monotonic() - self._saved_at >= seconds)

    def _restrict_removals(self, info: dict[str, Any], folder: str) -> None:
        """Restrict what a loaded checkpoint names for removal to checkpoints of this run."""
        # A manipulated file could otherwise have any file or folder deleted.
        for key in ('keep_ckpt_ids', 'mid_epoch_ids'):
            if key in info:
                info[key] = [step for step in info[key] if type(step) is int]
        for key in [key for key in info if key.startswith('best_ckpt')]:
            name = os.path.basename(str(info[key]))
            info[key] = os.path.join(folder, name) if name.startswith('best_') else None

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        kept = [*self.keep_ckpt_ids] if self.max_keep_ckpts > 0 else []
        if self.max_keep_ckpts > 0 and kept[-1:] != [step]:
            kept.append(step)
            # Saved with the outdated id: resumed after a kill here, the run removes that file.
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        self._write(runner, self.filename_tmpl.format(step), meta)
        self._keep_mid_epoch(runner, None)
        if self.max_keep_ckpts > 0:
            outdated, kept = kept[:-self.max_keep_ckpts], kept[-self.max_keep_ckpts:]
            for old in outdated:
                self._remove(self._path(self.filename_tmpl.format(old)))
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
            runner.message_hub.update_info('keep_ckpt_ids', kept)

    def _write(self, runner: Runner, name: str, meta: dict) -> None:
        """Write a checkpoint, then ``last_checkpoint``; an error stops all processes."""
        path = self._path(name)
        runner.message_hub.update_info('last_ckpt', path)
        self._saved_at = time.monotonic()
        with shared_errors():
            self._try_to_write(runner, name, path, meta)
        self.last_ckpt = path

    def _try_to_write(self, runner: Runner, name: str, path: str, meta: dict) -> None:
        newest = self.last_ckpt or runner._load_from
        try:
            runner.save_checkpoint(
                self.out_dir, name, self.file_client_args, save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler, meta=meta,
                by_epoch=self.by_epoch, backend_args=self.backend_args, **self.args)
            newest = path
            if is_main_process():
                atomic_write_bytes(Path(runner.work_dir) / 'last_checkpoint', [path.encode()])
        except OSError as error:
            state = (f'The newest complete checkpoint is {newest}: free some space, then use '
                     '--resume.' if newest else 'There is no complete checkpoint yet.')
            raise CheckpointWriteError(f'{error} {state}') from error

    def _keep_mid_epoch(self, runner: Runner, step: int | None) -> None:
        """Remove the checkpoints written within epochs, except that of ``step``."""
        written = runner.message_hub.get_info('mid_epoch_ids', [])
        for old in written:
            if old != step:
                self._remove(self._path(self.MID_EPOCH.format(old)))
        runner.message_hub.update_info('mid_epoch_ids', [old for old in written if old == step])

    def _path(self, name: str) -> str:
        return self.file_backend.join_path(self.out_dir, name)

    def _remove(self, path: str) -> None:
        if is_main_process() and self.file_backend.isfile(path):
            self.file_backend.remove(path)
        # Checkpoints of DeepSpeed are folders.
        elif is_main_process() and self.file_backend.isdir(path):
            self.file_backend.rmtree(path)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        # runner.val() without training: there are no new weights to save, and no folder for them.
        if current_task(runner) != 'train':
            return
        # mmengine removes the old best checkpoint before it writes the new one.
        removals: list[str] = []
        backend = self.file_backend
        backend.remove = backend.rmtree = removals.append
        try:
            with shared_errors():
                super()._save_best_checkpoint(runner, metrics)
        finally:
            del backend.remove, backend.rmtree
        in_use = {getattr(self, 'best_ckpt_path', None),
                  *getattr(self, 'best_ckpt_path_dict', {}).values(), self.last_ckpt}
        # A file to be removed may have been written again since.
        for path in removals:
            if path not in in_use:
                self._remove(path)
