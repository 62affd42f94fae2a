"""Stopping before a step on a loss or gradient that is NaN or infinite."""
import math
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import CheckpointHook, Hook, LoggerHook
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from vicmae_mm.checkpoints.fit import infinite_buffers, not_finite_in_training_state
from vicmae_mm.engine import not_finite_report as report
from vicmae_mm.engine.buffer_copy import BufferCopy
from vicmae_mm.engine.late_values import StepNumbers
from vicmae_mm.engine.optimizers.gradient_guard import GradientGuard, GuardedStep, skips_by_flag
from vicmae_mm.engine.runner_access import current_task, unwrapped_model
from vicmae_mm.engine.step_size import accumulated_batches, each_wrapper
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError, RunError, some_of

_ONE_STEP = (BaseModel.train_step, MMDistributedDataParallel.train_step)
_LEAST_SCALE = 2.**-24  # the smallest number in float16: 40 skipped steps below the initial scale


class NonFiniteLossError(RunError):
    """A loss or its gradient is NaN or infinite."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop all ranks in the same step, before a non-finite loss or gradient reaches the weights.

    A loss is checked before the backward pass, its gradient before the optimizer's step. The
    :class:`NonFiniteLossError` names rank, terms and samples; ``not_finite.jsonl`` in the work dir
    lists all samples of the batch. Weights, optimizer, scaler and buffers (BatchNorm's running
    statistics) stay as they were before the step. Overflowing gradients are left to the loss
    scaler. A checkpoint or initial weights that are not finite are refused by a ValueError.

    torch's fused Adam and AdamW skip such steps on the device, if gradients are not accumulated.
    The host then reads about a step after it has launched the next one, so that the device does not
    wait; or at once, before a log line, a checkpoint or the end of an epoch.

    Args:
        max_skipped: Number of such batches that a run may skip (at least 0); the next one stops
            it. A skipped batch is excluded from the logged losses and counted, as
            ``train/skipped_batches`` and in the checkpoint. Gradient accumulation uses the next
            batch instead, so the last update of a run may remain incomplete; a gradient that is
            not finite is dropped with all its batches.
    """

    # Before the hooks that log the losses, which must not see those of a skipped batch.
    priority = 'HIGHEST'
    FILENAME = report.FILENAME

    def __init__(self, max_skipped: int = 0) -> None:
        if type(max_skipped) is not int or max_skipped < 0:
            raise InputError(f'max_skipped={max_skipped!r} must be a number of batches, 0 or more.')
        self.max_skipped = max_skipped
        self._losses: dict[str, Any] = {}
        self._parts: list[tuple[str, Tensor]] = []
        self._skip = self._late = False
        # What reads the verdict on a step, and the step.
        self._pending: tuple[Callable[[], Any], report.UnreadStep] | None = None
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
        self._buffers = BufferCopy(model)
        wrappers = [each for each in each_wrapper(runner.optim_wrapper) if not _has_scaler(each)]
        # A model's own train_step may update several times, which had to know about each other.
        self._fused = wrappers == [runner.optim_wrapper] and self._samples.maxlen == 1 and (
            skips_by_flag(wrappers[0].optimizer)) and getattr(
                runner.model.train_step, '__func__', None) in _ONE_STEP
        # Until the host has read about the last step of a run, the device takes no other.
        allowed = self.max_skipped - runner.message_hub.get_info('skipped_batches', 0)
        self._guards = [GradientGuard(each.optimizer, allowed if self._fused else math.inf)
                        for each in wrappers]
        self._first = runner.iter
        self._intervals = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)
                           or (isinstance(hook, CheckpointHook) and not hook.by_epoch)]
        # A lambda, not a bound method: with the latter, copying the model would copy this hook.
        self._forward = model.register_forward_hook(
            lambda module, args, losses: self._keep_losses(losses))
        # Replacing the method catches the summed loss also within gradient accumulation.
        self._update_params = runner.optim_wrapper.update_params
        runner.optim_wrapper.update_params = partial(self._update_if_finite, runner)

    def after_train(self, runner: Runner) -> None:
        for guard in self._guards:
            guard.remove()
        self._guards, self._pending = [], None
        if self._forward is not None:
            self._forward.remove()
        vars(runner.optim_wrapper).pop('update_params', None)
        vars(runner.message_hub).pop('step_numbers', None)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the data samples for the message, and a copy of the buffers."""
        self._skip = False
        # The first step puts what is logged in its order, which nothing late can change.
        self._late = self._fused and runner.iter > self._first and not torch.is_anomaly_enabled()
        if hasattr(runner.message_hub, 'step_numbers'):
            runner.message_hub.step_numbers.send()
        self._numbers = vars(runner.message_hub)['step_numbers'] = StepNumbers()
        # Their names are read only where a message needs them: a batch may have hundreds.
        self._samples.append(
            data_batch.get('data_samples') if isinstance(data_batch, Mapping) else None)
        # The forward pass updates BatchNorm's statistics before the loss is known.
        self._buffers.take()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Stop if a loss or gradient was not finite; exclude the losses of a skipped batch."""
        if guarded := [step for guard in self._guards if (step := guard.pop()) is not None]:
            self._buffers.restore(torch.stack([step.held for step in guarded]).max())
        self.settle(runner)  # the step before this one
        if guarded:
            read = self._numbers.add(torch.stack([step.verdict for step in guarded]).max())
            self._pending = read, self._step(runner, self._parts, guarded)
            if self._late:
                self._numbers.skipped = read
        if not self._late or self._must_settle(runner, batch_idx, outputs or {}):
            self._skip |= self.settle(runner)
            # What is logged from here on is not of a skipped batch.
            self._numbers = vars(runner.message_hub)['step_numbers'] = StepNumbers()
        for wrapper in each_wrapper(runner.optim_wrapper):
            if _has_scaler(wrapper) and (scale := wrapper.loss_scaler.get_scale()) < _LEAST_SCALE:
                raise NonFiniteLossError(
                    f'The loss scale has fallen to {scale:g} in iteration {runner.iter + 1}: the '
                    'gradient is not finite at any scale, and no steps are taken any more. Train '
                    'in bfloat16 (vicmae_mm.BF16OptimWrapper), or lower the learning rate.')
        if self._skip and outputs:
            outputs.clear()

    def _must_settle(self, runner: Runner, batch_idx: int, outputs: dict) -> bool:
        """Whether the next hooks need to know if this step was skipped."""
        if self.end_of_epoch(runner.train_dataloader, batch_idx) or self.is_last_train_iter(runner):
            return True
        if any(f'train/{name}' not in runner.message_hub.log_scalars for name in outputs):
            return True
        return any(self.every_n_inner_iters(batch_idx, n) or self.every_n_train_iters(runner, n)
                   for n in self._intervals)

    def settle(self, runner: Runner) -> bool:
        """Read about the last step; stop, or say whether it was skipped."""
        pending, self._pending = self._pending, None
        return pending is not None and self._judge(runner, pending[0](), pending[1])

    before_val: Any = settle  # within an epoch, too

    def _keep_losses(self, losses: Any) -> None:
        self._losses = losses if isinstance(losses, dict) else {}

    def _update_if_finite(self, runner: Runner, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        losses, self._losses = self._losses, {}
        finite = loss.detach().isfinite().all()
        parts = [('their sum', loss.detach()), *_parts(losses)]
        if self._late:
            self._parts, self._guards[0].finite_loss = parts, finite
            return self._update_params(loss, *args, **kwargs)
        # All ranks must skip the same step, or the others would wait in the backward pass.
        verdict = 2 * (~finite).float()
        all_reduce(verdict, 'max')
        if not verdict:
            return self._update_params(loss, *args, **kwargs)
        self._buffers.restore(verdict)
        self._skip |= self._judge(runner, 2, self._step(runner, parts, []))

    def _step(self, runner: Runner, parts: list[tuple[str, Tensor]],
              guarded: list[GuardedStep]) -> report.UnreadStep:
        self._parts = []
        return report.UnreadStep(dict(iter=runner.iter + 1, epoch=runner.epoch + 1),
                                 [*self._samples], parts, guarded)

    def _judge(self, runner: Runner, verdict: float, step: report.UnreadStep) -> bool:
        """Whether the step was skipped; stop if it must not be."""
        if not verdict:
            return False
        describe = report.describe_loss if verdict == 2 else report.describe_gradient
        message = describe(runner, step)
        skipped = runner.message_hub.get_info('skipped_batches', 0)
        if skipped >= self.max_skipped:
            remedy = 'lower the learning rate' + (
                ' or clip gradients (optim_wrapper.clip_grad)' if verdict == 2 else '')
            before = f'Batches skipped before: {skipped}. ' if skipped else ''
            raise NonFiniteLossError(
                f'{message} {before}Check these samples. A resumed run repeats the same steps, so '
                f'{remedy} before --resume, or skip such batches: --cfg-options '
                f'default_hooks.finite_loss.max_skipped={max(10, 2 * self.max_skipped)}')
        runner.message_hub.update_info('skipped_batches', skipped + 1)
        runner.message_hub.update_scalar('train/skipped_batches', skipped + 1)
        runner.logger.warning(
            f'{message} The batch was skipped: {skipped + 1} of at most {self.max_skipped}.')
        return True


def _has_scaler(optim_wrapper: Any) -> bool:
    scaler = getattr(optim_wrapper, 'loss_scaler', None)
    return scaler is not None and scaler.is_enabled()


def _parts(losses: dict) -> list[tuple[str, Tensor]]:
    """Names and values of the model's losses, of which some may be lists."""
    return [(name, part.detach()) for name, value in losses.items() if 'loss' in name
            for part in (value if isinstance(value, (list, tuple)) else [value])]
