"""Stopping a run that would train only a part of its backbone."""
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from vicmae_mm.engine.runner_access import backbone_inputs, unwrapped_model
from vicmae_mm.engine.step_size import each_wrapper
from vicmae_mm.models.modes import evaluated_outputs
from vicmae_mm.registry import HOOKS
from vicmae_mm.utils.errors import InputError, some_of

_STEPS = 3  # more than one, because a network may drop layers at random


@HOOKS.register_module()
class GradientCoverageHook(Hook):
    """Stop after three steps if the loss ignores a part of what the backbone returns.

    The layers behind that part get no gradient and keep their random weights, without an error: of
    SlowFast's two pathways, for example, only one is trained if the other is not pooled.

    Every parameter of ``model.backbone`` that requires a gradient must have had one by then, from
    any of the accumulated batches. One that had none stops the run if autograd's graph connects it
    to an output of the backbone, or if no parameter had one. The others have no effect on any
    output, such as the unused norms in mmpretrain's ``DeiT3``: a warning names them.

    A backbone that has all its gradients in the first step is not looked at again. To stop, every
    process raises a ValueError with the parameters' names.
    """

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []
        self._pending: dict[str, Tensor] = {}
        self._batch: Any = None

    def before_train(self, runner: Runner) -> None:
        self.after_train(runner)
        backbone = getattr(unwrapped_model(runner), 'backbone', None)
        if not isinstance(backbone, nn.Module):
            return
        self._pending = {name: parameter for name, parameter in backbone.named_parameters()
                         if parameter.requires_grad}
        self._total, self._steps = len(self._pending), 0
        # A lambda, not a bound method: with the latter, copying the optimizer would copy this hook.
        self._handles = [each.optimizer.register_step_pre_hook(
            lambda optimizer, args, kwargs: self._check(runner, optimizer))
            for each in each_wrapper(runner.optim_wrapper)]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the batch, to test later whether parameters without a gradient matter."""
        if self._handles:
            self._batch = data_batch

    def after_train(self, runner: Runner) -> None:
        while self._handles:
            self._handles.pop().remove()
        self._batch, self._pending = None, {}

    def _check(self, runner: Runner, optimizer: Optimizer) -> None:
        if all(parameter.grad is None for group in optimizer.param_groups
               for parameter in group['params']):
            return  # FiniteLossHook skips this step
        self._steps += 1
        # With DistributedDataParallel, the processes agree on which gradients there are.
        self._pending = {name: parameter for name, parameter in self._pending.items()
                         if parameter.grad is None}
        if self._pending and self._steps < _STEPS:
            return
        if self._pending:
            self._judge(runner, unwrapped_model(runner))
        self.after_train(runner)

    def _judge(self, runner: Runner, model: Any) -> None:
        with torch.enable_grad():
            inputs = backbone_inputs(model, self._batch)
            connected = _connected(evaluated_outputs(model.backbone, inputs))
        none_trains = len(self._pending) == self._total
        ignored = [name for name, parameter in self._pending.items()
                   if none_trains or id(parameter) in connected]
        if ignored:
            raise InputError(
                f'{len(ignored)} of the {self._total} trainable parameters of '
                f'{type(model.backbone).__name__} got no gradient in {_STEPS} steps, so they would '
                f'keep their initial weights: {some_of(ignored)}. The loss ignores the outputs '
                'that they lead to: set a model.pooling that uses all outputs (docs/backbones.md), '
                'or let the backbone return only what is pooled (out_indices).')
        runner.logger.warning(
            f'{len(self._pending)} of the {self._total} trainable parameters of the backbone have '
            f'no effect on its output and stay untrained: {some_of(list(self._pending))}.')


def _connected(outputs: list[Tensor]) -> set[int]:
    """Ids of the leaf tensors that autograd's graph connects to the outputs."""
    nodes, seen, leaves = [output.grad_fn for output in outputs], set(), set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, 'variable'):
            leaves.add(id(node.variable))
        nodes += [following for following, _ in node.next_functions]
    return leaves
