"""Stopping before a step on a loss that is NaN or infinite."""
import json
import math
import os.path as osp
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, master_only
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from vicmae_mm.engine.runner_access import unwrapped_model
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError, RunError

# Keys under which mmpretrain, this package and mmaction2 name the file of a sample; else its index.
_NAMES = ('img_path', 'filename', 'sample_idx')
_SHOWN = 4  # samples named in a message


class NonFiniteLossError(RunError):
    """A loss is NaN or infinite."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop all ranks in the same step, before a non-finite loss reaches the backward pass.

    The message names rank, terms and samples; ``not_finite.jsonl`` in the work dir lists all
    samples of the batch. Weights, optimizer, scaler and buffers (BatchNorm's running statistics)
    stay as they were before the step. Overflowing gradients are left to the loss scaler.

    Args:
        max_skipped: Number of such batches that a run may skip (at least 0); the next one stops
            it. A skipped batch is excluded from the logged losses and counted, as
            ``train/skipped_batches`` and in the checkpoint. Gradient accumulation uses the next
            batch instead, so the last update of a run may remain incomplete.

    Raises:
        NonFiniteLossError: In training, as described above.
    """

    # Before the hooks that log the losses, which must not see those of a skipped batch.
    priority = 'HIGHEST'
    FILENAME = 'not_finite.jsonl'

    def __init__(self, max_skipped: int = 0) -> None:
        if max_skipped < 0:
            raise InputError(f'max_skipped={max_skipped} must be a number of batches, 0 or more.')
        self.max_skipped = max_skipped
        self._losses: dict[str, Any] = {}
        self._skip = False
        self._forward: RemovableHandle | None = None

    def before_train(self, runner: Runner) -> None:
        """Insert the check between forward and backward pass."""
        # A stopped run that is started again in the same process still has the previous check.
        self.after_train(runner)
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            runner.logger.warning('FiniteLossHook does not see the losses of a model with several '
                                  'optimizers: non-finite losses will not be noticed.')
        # A lambda, not a bound method: with the latter, copying the model would copy this hook.
        self._forward = unwrapped_model(runner).register_forward_hook(
            lambda module, args, losses: self._keep_losses(losses))
        # Replacing the method catches the summed loss also within gradient accumulation.
        self._update_params = runner.optim_wrapper.update_params
        runner.optim_wrapper.update_params = partial(self._update_if_finite, runner)

    def after_train(self, runner: Runner) -> None:
        """Remove the check."""
        if self._forward is not None:
            self._forward.remove()
        vars(runner.optim_wrapper).pop('update_params', None)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the batch for the message, and a copy of the buffers."""
        self._batch, self._skip = data_batch, False
        # The forward pass updates BatchNorm's statistics before the loss is known.
        self._buffers = [(b, b.clone()) for b in unwrapped_model(runner).buffers()]

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Exclude the losses of a skipped batch from the logged averages."""
        if self._skip and outputs:
            outputs.clear()

    def _keep_losses(self, losses: Any) -> None:
        self._losses = losses if isinstance(losses, dict) else {}

    def _update_if_finite(self, runner: Runner, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        losses, self._losses = self._losses, {}
        # All ranks must skip the same step, or the others would wait in the backward pass.
        broken = (~loss.detach().isfinite().all()).float()
        all_reduce(broken, 'max')
        if not broken:
            self._update_params(loss, *args, **kwargs)
            return
        with torch.no_grad():
            for buffer, before in self._buffers:
                buffer.copy_(before)
        skipped = runner.message_hub.get_info('skipped_batches', 0)
        message = self._describe(runner, loss.detach(), losses)
        if skipped >= self.max_skipped:
            raise NonFiniteLossError(f'{message} {self._advice(skipped)}')
        runner.message_hub.update_info('skipped_batches', skipped + 1)
        runner.message_hub.update_scalar('train/skipped_batches', skipped + 1)
        runner.logger.warning(
            f'{message} The batch was skipped: {skipped + 1} of at most {self.max_skipped}.')
        self._skip = True

    def _describe(self, runner: Runner, loss: Tensor, losses: dict) -> str:
        """Describe and record what happened; returns the same text on every rank."""
        own = None
        if not loss.isfinite().all():
            own = dict(terms=_broken_terms(losses) or {'their sum': str(loss.item())},
                       samples=_sample_names(self._batch))
        reports = [dict(rank=rank, **report)
                   for rank, report in enumerate(all_gather_object(own)) if report]
        place = dict(iter=runner.iter + 1, epoch=runner.epoch + 1)
        path = osp.join(runner.work_dir, self.FILENAME)
        _append(path, [dict(place, **report) for report in reports], runner.logger)
        ranks = '; '.join(_summarize(**report) for report in reports)
        return ('The loss is not finite in iteration {iter} (epoch {epoch}): '.format(**place)
                + f'{ranks}. No step was taken; {path} lists the complete batch.')

    def _advice(self, skipped: int) -> str:
        before = f'Batches skipped before: {skipped}. ' if skipped else ''
        return (f'{before}Check these samples. A resumed run repeats the same steps, so lower the '
                'learning rate or clip gradients (optim_wrapper.clip_grad) before --resume, or '
                'skip such batches: --cfg-options '
                f'default_hooks.finite_loss.max_skipped={max(10, 2 * self.max_skipped)}')


def _broken_terms(losses: dict) -> dict[str, str]:
    """Names and values of the model's losses that are not finite."""
    terms = {}
    for name, value in losses.items():
        parts = value if isinstance(value, (list, tuple)) else [value]
        for mean in (float(part.detach().mean()) for part in parts if 'loss' in name):
            if not math.isfinite(mean):
                terms[name] = str(mean)
    return terms


def _sample_names(batch: Any) -> list[str]:
    """Files (or indices) of the samples in a batch."""
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else None
    infos = [getattr(sample, 'metainfo', {})
             for sample in (samples if isinstance(samples, (list, tuple)) else [])]
    names = (next((info[key] for key in _NAMES if info.get(key) is not None), None)
             for info in infos)
    return [str(name) for name in names if name is not None]


def _summarize(rank: int, terms: dict[str, str], samples: list[str]) -> str:
    values = ', '.join(f'{name} is {value}' for name, value in terms.items())
    if not samples:
        return f'rank {rank}: {values}'
    more = f' and {len(samples) - _SHOWN} more' if len(samples) > _SHOWN else ''
    return f'rank {rank}: {values}, with samples {", ".join(samples[:_SHOWN])}{more}'


@master_only
def _append(path: str, reports: list[dict], logger: MMLogger) -> None:
    try:
        with open(path, 'a') as file:
            file.writelines(json.dumps(report) + '\n' for report in reports)
    except OSError as error:
        logger.warning(f'{path} cannot be written ({error}).')
