"""Checkpoints that are complete at any moment."""
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any

from mmengine.dist import get_world_size, is_main_process
from mmengine.fileio import HardDiskBackend, LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmengine.runner import runner as mmengine_runner

from vicmae_mm.checkpoints import saving
from vicmae_mm.checkpoints.fit import infinite_buffers
from vicmae_mm.engine.late_values import settle
from vicmae_mm.engine.runner_access import current_task, unwrapped_model
from vicmae_mm.engine.starting.start import checkpoint_folder, choose_start, clean_folder
from vicmae_mm.engine.starting.work_dir_lock import lock_work_dir, unlock_work_dir
from vicmae_mm.engine.step_size import accumulated_batches
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.atomic_files import atomic_write_bytes
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.main_process import on_main_process, shared_errors

_LOOK_INTERVAL = 10  # iterations after which the processes compare the time
_LOCAL = (LocalBackend, HardDiskBackend)  # the same under an old name


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, but a run never lacks a complete checkpoint.

    Training only waits for a copy of its state. A thread writes the copy atomically, then
    ``last_checkpoint``, and then removes outdated files; the next save waits for it. (mmengine
    removes first, and writes in place.) With a remote ``out_dir``, whether writing is atomic
    depends on the store. ``--resume`` without a path continues from the newest undamaged
    checkpoint. While a run trains, no other run may use its work dir.

    Args:
        interval_minutes: With ``by_epoch``, the longest time that an interrupted run loses, beside
            the time of writing; 0 for no limit. The end of an epoch is saved if the last checkpoint
            is half as old, or, for the first one, after a minute. Within an epoch,
            ``iter_<n>.pth`` is written after this time; the newest is kept until that of an epoch.
        mid_epoch_interval: Also save every N-th iteration within an epoch; 0 for never. Rounded up
            to complete optimizer steps if gradients are accumulated.
        **kwargs: Those of ``CheckpointHook``; with ``interval``, every N-th epoch is saved, too.

    Raises:
        CheckpointWriteError: A checkpoint cannot be written (disk full). Older ones are untouched.
        WorkDirInUseError: Another run trains in the work dir.
        RunError: Weights or the optimizer's state contain NaN or infinity. Nothing is written.
    """

    MID_EPOCH = 'iter_{}.pth'
    _default_greater_keys = [*CheckpointHook._default_greater_keys, 'recall', 'f1']
    _default_less_keys = [*CheckpointHook._default_less_keys, 'rank', 'recon', 'contrast']
    file_backend: Any
    keep_ckpt_ids: deque[int]
    last_ckpt: str | None  # the newest that is complete

    def __init__(self, *args: Any, interval_minutes: float = 10., mid_epoch_interval: int = 0,
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mid_epoch_interval, self.interval_minutes = mid_epoch_interval, interval_minutes
        for name, what in (('interval_minutes', 'time, or 0'),
                           ('mid_epoch_interval', 'number of iterations, or 0 for never')):
            value = getattr(self, name)
            if type(value) not in (int, float) or not value >= 0:  # NaN is refused, too
                raise InputError(f'{name}={value!r} must be a {what}.')
        self._steps: dict[str, Callable[[], Any]] = {}  # of a save, by path
        self._save: Future[Any] | None = None  # in flight

    def before_run(self, runner: Runner) -> None:
        """Reserve the work dir, and decide what a training starts from."""
        if current_task(runner) == 'train':
            on_main_process(lambda: lock_work_dir(runner.work_dir))
            loop = runner.train_loop
            loop.run = partial(self._run, runner, type(loop).run.__get__(loop))
        choose_start(runner)

    def _run(self, runner: Runner, run: Callable[[], Any]) -> Any:
        """Train. Whatever ends that, the save in flight is completed."""
        try:
            return run()
        finally:
            if self._save and not self._save.done():
                runner.logger.info('Waiting until the checkpoint is complete.')
            if self._save and (error := self._save.exception()):
                runner.logger.error(error)
            self._save = None

    def after_run(self, runner: Runner) -> None:
        """Let other runs use the work dir."""
        unlock_work_dir(runner.work_dir)

    def before_train(self, runner: Runner) -> None:
        """Set up the folder, and remove leftovers of a killed run."""
        clean_folder(checkpoint_folder(self, runner), runner)
        super().before_train(runner)
        self._is_local = type(getattr(self.file_backend, 'client', self.file_backend)) in _LOCAL
        # Checkpoints lack partly accumulated gradients: write them only after optimizer steps.
        step = accumulated_batches(runner.optim_wrapper)
        self.mid_epoch_interval = -(-self.mid_epoch_interval // step) * step
        self._look_interval = -(-_LOOK_INTERVAL // step) * step
        # The first epoch that ends after a minute has a checkpoint, for short runs to be resumed.
        self._saved_at = time.monotonic() - max(30 * self.interval_minutes - 60, 0)
        # Not by the iteration: a run resumed with other batches has another number.
        self._keep_mid_epoch(runner, os.path.basename(str(runner._load_from)))
        self._infinite = infinite_buffers(unwrapped_model(runner))

    def after_train(self, runner: Runner) -> None:
        """Wait for the last checkpoint, and publish what is to be."""
        self._finish(runner)
        super().after_train(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict, copy: bool = False) -> None:
        """Write nothing that a run could not continue from."""
        # A Runner's is checked when it is copied; a FlexibleRunner writes its own at once.
        if copy or not isinstance(runner, Runner):
            saving.check_finite(checkpoint, self._infinite, self.last_ckpt or runner._load_from)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        """Save within an epoch; stop if the save in flight has failed."""
        step = runner.iter + 1
        # A collective in every step would cost more than it tells.
        if (save := self._save) and (get_world_size() == 1 or step % self._look_interval == 0) and (
                on_main_process(save.done)):
            self._finish(runner)
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        # At the end of an epoch, the epoch's own checkpoint may follow.
        if not self.by_epoch or self.end_of_epoch(runner.train_dataloader, batch_idx):
            return
        if self.every_n_train_iters(runner, self.mid_epoch_interval) or (
                step % self._look_interval == 0 and self._is_due(1)):
            runner.logger.info(f'Saving checkpoint at {step} iterations')
            name, hub = self.MID_EPOCH.format(step), runner.message_hub
            with self._saving(runner):
                hub.update_info('mid_epoch_ids', [*hub.get_info('mid_epoch_ids'), step])
                self._write(runner, name, dict(epoch=runner.epoch, iter=step))
                self._keep_mid_epoch(runner, name)

    def every_n_epochs(self, runner: Runner, n: int, start: int = 0) -> bool:
        """Whether to save at the end of an epoch."""
        return super().every_n_epochs(runner, n, start) or (
            runner.epoch + 1 >= start and self._is_due(0.5))

    def _is_due(self, share: float) -> bool:
        """Whether a share of the interval is over, by the main process's clock, for all of them."""
        seconds = 60 * self.interval_minutes * share
        return seconds > 0 and on_main_process(lambda: time.monotonic() - self._saved_at >= seconds)

    def _save_checkpoint(self, runner: Runner) -> None:
        with self._saving(runner):
            super()._save_checkpoint(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        kept = [*self.keep_ckpt_ids] if self.max_keep_ckpts > 0 else []
        if self.max_keep_ckpts > 0 and kept[-1:] != [step]:
            kept.append(step)
            # Saved with the outdated id: resumed after a kill, the run removes that file.
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        self._write(runner, self.filename_tmpl.format(step), meta)
        self._keep_mid_epoch(runner, '')
        if self.max_keep_ckpts > 0:
            for old in kept[:-self.max_keep_ckpts]:
                self._remove(self.filename_tmpl.format(old))
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
            runner.message_hub.update_info('keep_ckpt_ids', [*self.keep_ckpt_ids])

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        # runner.val() without training: there are no new weights to save, and no folder for them.
        if current_task(runner) == 'train' and self.save_best:
            # A validation has no scores of ProbeHook, which gives others the score None.
            probed = dict.fromkeys(key for key in self.key_indicators if key.startswith('probe/'))
            with self._saving(runner):
                super()._save_best_checkpoint(runner, {**probed, **metrics})

    @contextmanager
    def _saving(self, runner: Runner) -> Iterator[None]:
        """Write and remove in the background what is to be in the block; remove last."""
        self._finish(runner)
        settle(runner)
        self._steps, removals = {}, list[str]()
        stock, backend = mmengine_runner.save_checkpoint, self.file_backend
        backend.remove = backend.rmtree = removals.append
        mmengine_runner.save_checkpoint = partial(self._copy, runner, stock)
        try:
            with shared_errors(), saving.PinnedCopies():
                yield
        finally:
            mmengine_runner.save_checkpoint = stock
            del backend.remove, backend.rmtree
        steps = self._steps  # emptied as they are done, so that the copy is freed
        # A file to be removed may be written again.
        steps |= {path: partial(saving.remove_checkpoint, backend, path)
                  for path in removals if path not in steps}
        # Not a process: a fork beside threads and a GPU may hang, others need one more copy.
        # torch and the system write without Python's lock. At its exit, Python waits for threads.
        self._save = ThreadPoolExecutor(1).submit(lambda: [steps.pop(path)() for path in [*steps]])

    def _finish(self, runner: Runner) -> None:
        """Wait for the save in flight; its error stops all processes."""
        if self._save is not None:
            with shared_errors():
                error, self._save = self._save.exception(), None
                if isinstance(error, OSError):
                    newest = self.last_ckpt or runner._load_from
                    state = (f'The newest complete checkpoint is {newest}: free some space, then '
                             'use --resume.' if newest else 'There is no complete checkpoint yet.')
                    raise saving.CheckpointWriteError(f'{error} {state}') from error
                if error:
                    raise error

    def _copy(self, runner: Runner, stock: Callable, checkpoint: dict, path: str,
              **store: Any) -> None:
        """Copy what mmengine has collected, in place of its function that writes it."""
        checkpoint = deepcopy(checkpoint)
        write = saving.write_checkpoint if self._is_local else partial(stock, **store)

        def write_finite() -> None:
            self.before_save_checkpoint(runner, checkpoint, copy=True)
            write(checkpoint, path)
        self._steps[path] = write_finite

    def _write(self, runner: Runner, name: str, meta: dict) -> None:
        """Write a checkpoint, then ``last_checkpoint``."""
        path = self.file_backend.join_path(self.out_dir, name)
        note = os.path.join(runner.work_dir, 'last_checkpoint')
        runner.message_hub.update_info('last_ckpt', path)
        self._saved_at = time.monotonic()
        runner.save_checkpoint(
            self.out_dir, name, self.file_client_args, save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch,
            backend_args=self.backend_args, **self.args)

        def complete() -> None:
            self.last_ckpt = path
            if is_main_process():
                atomic_write_bytes(note, [path.encode()])
        self._steps[note] = complete

    def _keep_mid_epoch(self, runner: Runner, name: str) -> None:
        """Remove the checkpoints written within epochs, except ``name``."""
        written = runner.message_hub.get_info('mid_epoch_ids', [])
        kept = [step for step in written if self.MID_EPOCH.format(step) == name]
        for step in {*written} - {*kept}:
            self._remove(self.MID_EPOCH.format(step))
        runner.message_hub.update_info('mid_epoch_ids', kept)

    def _remove(self, name: str) -> None:
        saving.remove_checkpoint(
            self.file_backend, self.file_backend.join_path(self.out_dir, name))
