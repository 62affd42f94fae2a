"""No step is taken on a loss that is NaN or infinite."""
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

# Where a sample says what it was read from: mmpretrain's, ours and mmaction2's key; else its place
_NAMES = ('img_path', 'filename', 'sample_idx')
_SHOWN = 4  # samples named in a message


class NonFiniteLossError(RunError):
    """A loss is NaN or infinite."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop on all ranks at once before a loss that isn't finite reaches backward or the optimizer.

    Ranks agree by one all-reduce of a number a step, also in the middle of gradient accumulation.
    Which rank and terms it was, and the samples in that rank's batch, go into the message, and
    with every sample's path into ``not_finite.jsonl`` in the work dir. Weights, optimizer, scaler
    and buffers (BatchNorm's running statistics) are left as they were before the step.

    A mixed-precision scaler's overflows are gradients, and stay its own business.

    Args:
        max_skipped: How many such batches a run may skip; the next one stops it. A skipped batch
            is left out of the losses logged, counted as ``train/skipped_batches`` and, with the
            run's other progress, in the checkpoint. Accumulation takes the next batch in its
            place, so a run may end that many batches into an update that is never made.

    Raises:
        ValueError: If ``max_skipped`` is negative.
        NonFiniteLossError: While training, see above.
    """

    priority = 'HIGHEST'  # before the losses of a skipped batch are written down
    FILENAME = 'not_finite.jsonl'

    def __init__(self, max_skipped: int = 0) -> None:
        if max_skipped < 0:
            raise InputError(f'max_skipped={max_skipped} should be a number of batches, 0 or more.')
        self.max_skipped = max_skipped
        self._losses: dict[str, Any] = {}
        self._skip = False
        self._forward: RemovableHandle | None = None

    def before_train(self, runner: Runner) -> None:
        """Stand between the forward and the backward pass."""
        self.after_train(runner)  # of a run that was stopped, and is started again in this process
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            runner.logger.warning('FiniteLossHook does not see the losses of a model with several '
                                  'optimizers: steps may be taken on some that are not finite.')
        # A function: a copy of the model would copy a method's object, and the runner with it
        self._forward = unwrapped_model(runner).register_forward_hook(
            lambda module, args, losses: self._keep_losses(losses))
        self._update_params = runner.optim_wrapper.update_params
        runner.optim_wrapper.update_params = partial(self._update_if_finite, runner)

    def after_train(self, runner: Runner) -> None:
        """Step aside."""
        if self._forward is not None:
            self._forward.remove()
        vars(runner.optim_wrapper).pop('update_params', None)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep what names the batch, and the buffers, which the forward pass changes."""
        self._batch, self._skip = data_batch, False
        self._buffers = [(b, b.clone()) for b in unwrapped_model(runner).buffers()]

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Keep the losses of a skipped batch out of the averages that are logged."""
        if self._skip and outputs:
            outputs.clear()

    def _keep_losses(self, losses: Any) -> None:
        self._losses = losses if isinstance(losses, dict) else {}

    def _update_if_finite(self, runner: Runner, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        losses, self._losses = self._losses, {}
        broken = (~loss.detach().isfinite().all()).float()
        all_reduce(broken, 'max')
        if not broken:
            self._update_params(loss, *args, **kwargs)
            return
        with torch.no_grad():
            for buffer, before in self._buffers:
                buffer.copy_(before)
        skipped = runner.message_hub.get_info('skipped_batches', 0)
        words = self._describe(runner, loss.detach(), losses)
        if skipped >= self.max_skipped:
            raise NonFiniteLossError(f'{words} {self._advice(skipped)}')
        runner.message_hub.update_info('skipped_batches', skipped + 1)
        runner.message_hub.update_scalar('train/skipped_batches', skipped + 1)
        runner.logger.warning(
            f'{words} The batch was skipped: {skipped + 1} of at most {self.max_skipped}.')
        self._skip = True

    def _describe(self, runner: Runner, loss: Tensor, losses: dict) -> str:
        """What happened on which rank, the same words on every rank; writes it down."""
        own = None
        if not loss.isfinite().all():
            own = dict(terms=_broken_terms(losses) or {'their sum': str(loss.item())},
                       samples=_sample_names(self._batch))
        reports = [dict(rank=rank, **report)
                   for rank, report in enumerate(all_gather_object(own)) if report]
        place = dict(iter=runner.iter + 1, epoch=runner.epoch + 1)
        path = osp.join(runner.work_dir, self.FILENAME)
        _write_down(path, [dict(place, **report) for report in reports], runner.logger)
        ranks = '; '.join(_in_short(**report) for report in reports)
        return ('The loss is not finite in iteration {iter} (epoch {epoch}): '.format(**place)
                + f'{ranks}. No step was taken; {path} has the whole batch.')

    def _advice(self, skipped: int) -> str:
        before = f'Batches skipped before: {skipped}. ' if skipped else ''
        return (f'{before}Look at these samples. A resumed run takes the same steps again, so '
                'lower the learning rate or clip gradients (optim_wrapper.clip_grad) before '
                '--resume, or skip such batches: --cfg-options '
                f'default_hooks.finite_loss.max_skipped={max(10, 2 * self.max_skipped)}')


def _broken_terms(losses: dict) -> dict[str, str]:
    """Names and values of the model's losses that aren't finite."""
    terms = {}
    for name, value in losses.items():
        parts = value if isinstance(value, (list, tuple)) else [value]
        for mean in (float(part.detach().mean()) for part in parts if 'loss' in name):
            if not math.isfinite(mean):
                terms[name] = str(mean)
    return terms


def _sample_names(batch: Any) -> list[str]:
    """What the samples of a batch say they were read from."""
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else None
    infos = [getattr(sample, 'metainfo', {})
             for sample in (samples if isinstance(samples, (list, tuple)) else [])]
    names = (next((info[key] for key in _NAMES if info.get(key) is not None), None)
             for info in infos)
    return [str(name) for name in names if name is not None]


def _in_short(rank: int, terms: dict[str, str], samples: list[str]) -> str:
    values = ', '.join(f'{name} is {value}' for name, value in terms.items())
    if not samples:
        return f'rank {rank}: {values}'
    more = f' and {len(samples) - _SHOWN} more' if len(samples) > _SHOWN else ''
    return f'rank {rank}: {values}, with samples {", ".join(samples[:_SHOWN])}{more}'


@master_only
def _write_down(path: str, reports: list[dict], logger: MMLogger) -> None:
    try:
        with open(path, 'a') as file:
            file.writelines(json.dumps(report) + '\n' for report in reports)
    except OSError as error:
        logger.warning(f'{path} can not be written ({error}).')
