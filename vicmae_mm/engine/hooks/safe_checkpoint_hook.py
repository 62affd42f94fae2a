"""Checkpoints of which one is always whole."""
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import HardDiskBackend, LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from vicmae_mm.checkpoints.backend import CheckpointWriteError, WholeFileBackend
from vicmae_mm.checkpoints.resume import choose_checkpoint
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.atomic_files import atomic_write_bytes, remove_leftovers
from vicmae_mm.utils.errors import InputError

_LOCAL = (LocalBackend, HardDiskBackend)  # the same under an old name


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, which at no moment leaves a run without a whole checkpoint.

    A checkpoint is written beside its place, brought to the disk and put there as a whole, with
    a checksum in it; then ``last_checkpoint`` names it; then those it replaces go. Stock
    removes first and writes in place. ``--resume`` without a path goes on from the newest
    checkpoint that is whole. With a remote ``out_dir`` the order is kept; whether a file
    appears as a whole is up to the store.

    Args:
        mid_epoch_interval (int): With ``by_epoch``, also save every so many iterations within
            an epoch, as ``iter_<n>.pth``. The newest is kept until the epoch's own is whole.
            It should be less than an epoch: at an epoch's end none is written. Rounded up to
            whole optimizer steps where gradients are accumulated. 0 for never.
        **kwargs: As those of ``mmengine.hooks.CheckpointHook``.

    Raises:
        CheckpointWriteError: A checkpoint can't be written (disk full). Older ones are untouched.
    """

    MID_EPOCH = 'iter_{}.pth'
    file_backend: Any
    keep_ckpt_ids: deque[int]
    last_ckpt: str | None

    def __init__(self, *args: Any, mid_epoch_interval: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if mid_epoch_interval < 0:
            raise InputError(f'mid_epoch_interval is {mid_epoch_interval}: it counts iterations, '
                             '0 is for never.')
        self.mid_epoch_interval = mid_epoch_interval

    def before_run(self, runner: Runner) -> None:
        """Choose what ``--resume`` without a path goes on from."""
        folder = self._folder(runner)
        patterns = [self.filename_tmpl.format('*'), self.MID_EPOCH.format('*')]
        if runner._resume and runner._load_from is None:
            runner._load_from = choose_checkpoint(runner.work_dir, folder, patterns)
            runner._resume = runner._load_from is not None
        elif not runner._resume and any(any(Path(folder).glob(pattern)) for pattern in patterns):
            runner.logger.warning(
                f'{folder} holds checkpoints of an earlier run: until this one has saved its '
                'first, --resume goes on from those. Name another --work-dir to keep both.')

    def before_train(self, runner: Runner) -> None:
        """Find the folder, and tidy up after a run that was killed."""
        folder = self._folder(runner)
        self._distrust(runner.message_hub.runtime_info, folder)
        super().before_train(runner)
        if type(getattr(self.file_backend, 'client', self.file_backend)) in _LOCAL:
            self.file_client_args = None
            self.backend_args = dict(backend=WholeFileBackend.NAME)
            self.file_backend = WholeFileBackend()
        # a gradient that is being accumulated is in no checkpoint
        step = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        self.mid_epoch_interval = -(-self.mid_epoch_interval // step) * step
        self._keep_mid_epoch(runner, runner.iter)
        if is_main_process():
            for place in {folder, runner.work_dir}:
                for part in remove_leftovers(place):
                    runner.logger.info(f'Removed {part}, left by a run that was killed.')

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        """Save within an epoch."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if (self.by_epoch and self.every_n_train_iters(runner, self.mid_epoch_interval)
                and not self.end_of_epoch(runner.train_dataloader, batch_idx)):
            step = runner.iter + 1
            runner.logger.info(f'Saving checkpoint at {step} iterations')
            written = runner.message_hub.get_info('mid_epoch_ids')
            runner.message_hub.update_info('mid_epoch_ids', [*written, step])
            self._write(runner, self.MID_EPOCH.format(step), dict(epoch=runner.epoch, iter=step))
            self._keep_mid_epoch(runner, step)

    def _folder(self, runner: Runner) -> str:
        if self.out_dir is None or self.out_dir == runner.work_dir:
            return runner.work_dir
        return os.path.join(self.out_dir, os.path.basename(runner.work_dir.rstrip(os.sep)))

    def _distrust(self, info: dict[str, Any], folder: str) -> None:
        """Let what a loaded checkpoint names for removal be nothing but checkpoints of the run."""
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
            # in the file with the outdated one: resumed after a kill here, it removes that
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        self._write(runner, self.filename_tmpl.format(step), meta)
        self._keep_mid_epoch(runner, None)
        if self.max_keep_ckpts > 0:
            outdated, kept = kept[:-self.max_keep_ckpts], kept[-self.max_keep_ckpts:]
            for old in outdated:
                self._remove(self.filename_tmpl.format(old))
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
            runner.message_hub.update_info('keep_ckpt_ids', kept)

    def _write(self, runner: Runner, name: str, meta: dict) -> None:
        """Write a checkpoint, then what names the last one."""
        whole, path = self.last_ckpt, self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', path)
        try:
            runner.save_checkpoint(
                self.out_dir, name, self.file_client_args, save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler, meta=meta,
                by_epoch=self.by_epoch, backend_args=self.backend_args, **self.args)
            whole = path
            if is_main_process():
                atomic_write_bytes(Path(runner.work_dir) / 'last_checkpoint', [path.encode()])
        except OSError as error:
            raise CheckpointWriteError(f'{error} {self._state(runner, whole)}') from error
        self.last_ckpt = path

    def _state(self, runner: Runner, whole: str | None) -> str:
        whole = whole or runner._load_from
        return (f'The newest whole checkpoint is {whole}: make room, then --resume.' if whole
                else 'There is none yet.')

    def _keep_mid_epoch(self, runner: Runner, step: int | None) -> None:
        """Remove what was written within epochs, but one."""
        written = runner.message_hub.get_info('mid_epoch_ids', [])
        for old in written:
            if old != step:
                self._remove(self.MID_EPOCH.format(old))
        runner.message_hub.update_info('mid_epoch_ids', [old for old in written if old == step])

    def _remove(self, name: str) -> None:
        if not is_main_process():
            return
        path = self.file_backend.join_path(self.out_dir, name)
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # as DeepSpeed's checkpoints are
            self.file_backend.rmtree(path)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        with self._removing_at_the_end():
            super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def _removing_at_the_end(self) -> Iterator[None]:
        """Have stock's code remove nothing before the new best is whole."""
        backend = self.file_backend
        self.file_backend = late = _LateRemovals(backend)
        try:
            yield
        finally:
            self.file_backend = backend
        in_use = {getattr(self, 'best_ckpt_path', None),
                  *getattr(self, 'best_ckpt_path_dict', {}).values(), self.last_ckpt}
        for remove, path in late.removals:
            if path not in in_use:
                remove(path)


class _LateRemovals:
    """A file backend that notes what to remove."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.removals: list[tuple[Any, str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        """Note a file."""
        self.removals.append((self._backend.remove, path))

    def rmtree(self, path: str) -> None:
        """Note a folder."""
        self.removals.append((self._backend.rmtree, path))
