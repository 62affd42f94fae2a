"""Stopping before a step on a loss or gradient that is NaN or infinite."""
import json
import math
import os.path as osp
from collections import deque
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

from vicmae_mm.checkpoints.fit import infinite_buffers, not_finite_in_training_state
from vicmae_mm.engine.optimizers.gradient_guard import GradientGuard
from vicmae_mm.engine.runner_access import current_task, unwrapped_model
from vicmae_mm.engine.step_size import accumulated_batches, each_wrapper
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError, RunError, some_of

# Keys under which mmpretrain, this package and mmaction2 name the file of a sample; else its index.
_NAMES = ('img_path', 'filename', 'sample_idx')
_LEAST_SCALE = 2.**-24  # the smallest number in float16: 40 skipped steps below the initial scale


class NonFiniteLossError(RunError):
    """A loss or its gradient is NaN or infinite."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop all ranks in the same step, before a non-finite loss or gradient reaches the weights.

    A loss is checked before the backward pass, its gradient before the optimizer's step. The
    message names rank, terms and samples; ``not_finite.jsonl`` in the work dir lists all
    samples of the batch. Weights, optimizer, scaler and buffers (BatchNorm's running statistics)
    stay as they were before the step. Overflowing gradients are left to the loss scaler.
    Training starts neither from a checkpoint nor from weights that are not finite.

    Args:
        max_skipped: Number of such batches that a run may skip (at least 0); the next one stops
            it. A skipped batch is excluded from the logged losses and counted, as
            ``train/skipped_batches`` and in the checkpoint. Gradient accumulation uses the next
            batch instead, so the last update of a run may remain incomplete; a gradient that is
            not finite is dropped with all its batches.

    Raises:
        NonFiniteLossError: In training, as described above.
        ValueError: The checkpoint, or the initial weights, contain NaN or infinity.
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
        self._guards: list[GradientGuard] = []
        self._samples: deque[Any] = deque(maxlen=1)  # data samples of the batches of a step

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse a checkpoint with NaN or infinity for training."""
        if current_task(runner) == 'train':
            meant = infinite_buffers(unwrapped_model(runner))
            if broken := not_finite_in_training_state(checkpoint, meant):
                raise InputError(
                    f'{runner._load_from} has {len(broken)} tensors that are not finite (NaN or '
                    f'infinity): {some_of(broken)}. The training that wrote it diverged: take an '
                    'earlier checkpoint.')

    def before_train(self, runner: Runner) -> None:
        """Check the weights, and insert the checks of the steps."""
        # A stopped run that is started again in the same process still has the previous checks.
        self.after_train(runner)
        model = unwrapped_model(runner)
        if broken := not_finite_in_training_state(model.state_dict(), infinite_buffers(model)):
            raise InputError(
                f'Before the first step, {len(broken)} tensors of the model are not finite (NaN or '
                f'infinity): {some_of(broken)}. Check init_cfg and the file that it names.')
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            runner.logger.warning('FiniteLossHook does not see the losses of a model with several '
                                  'optimizers: it checks their gradients only.')
        self._samples = deque(maxlen=accumulated_batches(runner.optim_wrapper))
        self._guards = [GradientGuard(wrapper.optimizer) for wrapper
                        in each_wrapper(runner.optim_wrapper) if not _has_scaler(wrapper)]
        # A lambda, not a bound method: with the latter, copying the model would copy this hook.
        self._forward = unwrapped_model(runner).register_forward_hook(
            lambda module, args, losses: self._keep_losses(losses))
        # Replacing the method catches the summed loss also within gradient accumulation.
        self._update_params = runner.optim_wrapper.update_params
        runner.optim_wrapper.update_params = partial(self._update_if_finite, runner)

    def after_train(self, runner: Runner) -> None:
        """Remove the checks."""
        for guard in self._guards:
            guard.remove()
        self._guards = []
        if self._forward is not None:
            self._forward.remove()
        vars(runner.optim_wrapper).pop('update_params', None)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the data samples for the message, and a copy of the buffers."""
        self._skip = False
        # Their names are read only where a message needs them: a batch may have hundreds.
        self._samples.append(
            data_batch.get('data_samples') if isinstance(data_batch, Mapping) else None)
        # The forward pass updates BatchNorm's statistics before the loss is known.
        self._buffers = [(b, b.clone()) for b in unwrapped_model(runner).buffers()]

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Stop if the gradient was not finite; exclude the losses of a skipped batch."""
        broken = [ids for guard in self._guards if (ids := guard.pop_broken()) is not None]
        if broken:
            message = self._describe_gradient(runner, {each for ids in broken for each in ids})
            self._skip_or_stop(runner, message, 'lower the learning rate')
        for wrapper in each_wrapper(runner.optim_wrapper):
            if _has_scaler(wrapper) and (scale := wrapper.loss_scaler.get_scale()) < _LEAST_SCALE:
                raise NonFiniteLossError(
                    f'The loss scale has fallen to {scale:g} in iteration {runner.iter + 1}: the '
                    'gradient is not finite at any scale, and no steps are taken any more. Train '
                    'in bfloat16 (vicmae_mm.BF16OptimWrapper), or lower the learning rate.')
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
        self._skip_or_stop(runner, self._describe(runner, loss.detach(), losses),
                           'lower the learning rate or clip gradients (optim_wrapper.clip_grad)')

    def _skip_or_stop(self, runner: Runner, message: str, remedy: str) -> None:
        with torch.no_grad():
            for buffer, before in self._buffers:
                buffer.copy_(before)
        skipped = runner.message_hub.get_info('skipped_batches', 0)
        if skipped >= self.max_skipped:
            raise NonFiniteLossError(f'{message} {self._advice(skipped, remedy)}')
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
                       samples=_sample_names(self._samples[-1]))
        place, reports, path = self._record(runner, own)
        ranks = '; '.join(_summarize(**report) for report in reports)
        return (f'The loss is not finite in {place}: {ranks}. No step was taken; {path} lists the '
                'complete batch.')

    def _describe_gradient(self, runner: Runner, broken: set[int]) -> str:
        """As :meth:`_describe`; ``broken`` are the ids of this rank's parameters."""
        names = [name for name, parameter in unwrapped_model(runner).named_parameters()
                 if id(parameter) in broken]
        own = dict(parameters=names, samples=[
            name for samples in self._samples for name in _sample_names(samples)])
        place, reports, path = self._record(runner, own)
        names = list(dict.fromkeys(name for report in reports for name in report['parameters']))
        samples = [name for report in reports for name in report['samples']]
        # The losses of several optimizers are not known.
        loss = ('' if isinstance(runner.optim_wrapper, OptimWrapperDict) else
                ', although the loss is')
        return (f'The gradient is not finite in {place}{loss}: {some_of(names)}'
                + (f', with samples {some_of(samples)}' if samples else '')
                + f'. No step was taken; {path} lists the complete batch.')

    def _record(self, runner: Runner, own: dict | None) -> tuple[str, list[dict], str]:
        """Write the reports of all ranks to the file; return them, and where they are from."""
        reports = [dict(rank=rank, **report)
                   for rank, report in enumerate(all_gather_object(own)) if report]
        place = dict(iter=runner.iter + 1, epoch=runner.epoch + 1)
        path = osp.join(runner.work_dir, self.FILENAME)
        _append(path, [dict(place, **report) for report in reports], runner.logger)
        return 'iteration {iter} (epoch {epoch})'.format(**place), reports, path

    def _advice(self, skipped: int, remedy: str) -> str:
        before = f'Batches skipped before: {skipped}. ' if skipped else ''
        return (f'{before}Check these samples. A resumed run repeats the same steps, so {remedy} '
                'before --resume, or skip such batches: --cfg-options '
                f'default_hooks.finite_loss.max_skipped={max(10, 2 * self.max_skipped)}')


def _has_scaler(optim_wrapper: Any) -> bool:
    scaler = getattr(optim_wrapper, 'loss_scaler', None)
    return scaler is not None and scaler.is_enabled()


def _broken_terms(losses: dict) -> dict[str, str]:
    """Names and values of the model's losses that are not finite."""
    terms = {}
    for name, value in losses.items():
        parts = value if isinstance(value, (list, tuple)) else [value]
        for mean in (float(part.detach().mean()) for part in parts if 'loss' in name):
            if not math.isfinite(mean):
                terms[name] = str(mean)
    return terms


def _sample_names(samples: Any) -> list[str]:
    """Files (or indices) of the data samples of a batch."""
    infos = [getattr(sample, 'metainfo', {})
             for sample in (samples if isinstance(samples, (list, tuple)) else [])]
    names = (next((info[key] for key in _NAMES if info.get(key) is not None), None)
             for info in infos)
    return [str(name) for name in names if name is not None]


def _summarize(rank: int, terms: dict[str, str], samples: list[str]) -> str:
    values = ', '.join(f'{name} is {value}' for name, value in terms.items())
    return f'rank {rank}: {values}' + (f', with samples {some_of(samples)}' if samples else '')


@master_only
def _append(path: str, reports: list[dict], logger: MMLogger) -> None:
    try:
        with open(path, 'a') as file:
            file.writelines(json.dumps(report) + '\n' for report in reports)
    except OSError as error:
        logger.warning(f'{path} cannot be written ({error}).')
