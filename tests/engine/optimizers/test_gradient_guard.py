"""No optimizer steps on a gradient that is NaN or infinite; every other step is as without it."""
import copy
import math
from typing import Any

import mmpretrain.engine  # noqa: F401  (registers LARS)
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.utils import digit_version
from torch import nn

from vicmae_mm.engine.optimizers.gradient_guard import GradientGuard

FUSED = [dict(fused=True)] if digit_version(torch.__version__) >= digit_version('2.4.0') else []
OPTIMIZERS = [
    *(dict(type=kind, lr=0.1, weight_decay=0.1, **fused)
      for kind in ('Adam', 'AdamW') for fused in [{}, *FUSED]),
    dict(type='AdamW', lr=0.1, foreach=True), dict(type='RMSprop', lr=0.1, momentum=0.5),
    *(dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.1, **fused)
      for fused in [{}, *FUSED]),
    dict(type='mmpretrain.LARS', lr=0.1, momentum=0.9, weight_decay=0.1)]


def stopped_by(guard: GradientGuard) -> list[int] | None:
    """Ids of the parameters whose gradients stopped the last step; None if nothing did."""
    step = guard.pop()
    return step.broken() if step is not None and step.held else None


class Run:
    """A model of one layer, its optimizer and the guard."""

    def __init__(self, optimizer: dict, guarded: bool = True, **options: Any) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(3, 2)
        self.wrapper = build_optim_wrapper(
            self.model, dict(optimizer=dict(optimizer), **options))
        self.guard = GradientGuard(self.wrapper.optimizer) if guarded else None

    def step(self, factor: float = 1.) -> list[int] | None:
        """A step on a gradient with this factor."""
        self.wrapper.update_params((self.model(torch.ones(3)) * factor).sum())
        return self.guard and stopped_by(self.guard)

    def state(self) -> list[torch.Tensor]:
        """Copies of everything that a step changes."""
        states = self.wrapper.optimizer.state_dict()['state'].values()
        return [each.clone() for each in (
            *self.model.parameters(),
            *(value for state in states for value in state.values() if torch.is_tensor(value)))]


def same(a: list, b: list) -> bool:
    return len(a) == len(b) and all(torch.equal(*pair) for pair in zip(a, b, strict=True))


@pytest.mark.parametrize('optimizer', OPTIMIZERS, ids=lambda each: '-'.join(
    map(str, each.values())))
# a gradient of 1e30 is finite, but its square, and so Adam's second moment, is not
@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf, 1e30])
def test_such_a_step_leaves_no_trace(optimizer, bad):
    guarded, plain = Run(optimizer), Run(optimizer, guarded=False)
    first = guarded.state()[:2]
    assert guarded.step(bad) == [id(parameter) for parameter in guarded.model.parameters()]
    assert same(guarded.state()[:2], first)
    for _ in range(2):
        assert guarded.step() is None
        plain.step()
    # not even in the momentum of an optimizer whose first step it was
    assert same(guarded.state(), plain.state())
    before = guarded.state()
    assert guarded.step(bad) is not None
    assert same(guarded.state(), before)
    assert guarded.step() is None and not same(guarded.state(), before)
    assert guarded.model.weight.isfinite().all()


@pytest.mark.parametrize('clip, stopped', [
    (dict(max_norm=1.), True), (dict(type='value', clip_value=1.), False)])
def test_it_is_the_clipped_gradient_that_counts(clip, stopped):
    run = Run(OPTIMIZERS[0], clip_grad=clip)
    assert (run.step(math.inf) is not None) == stopped
    assert run.model.weight.isfinite().all()


def test_accumulated_gradients_are_dropped_together():
    run = Run(dict(type='SGD', lr=1.), accumulative_counts=3)
    before = run.state()
    assert [run.step(factor) is None for factor in (1., math.nan, 1.)] == [True, True, False]
    assert same(run.state(), before)
    assert [run.step() for _ in range(3)] == [None] * 3
    torch.testing.assert_close(run.model.bias, before[1] - 1)


def test_frozen_and_sparse_parameters():
    model = nn.ModuleDict(dict(table=nn.Embedding(4, 2, sparse=True), frozen=nn.Linear(2, 1)))
    model['frozen'].requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.)
    guard = GradientGuard(optimizer)
    before = copy.deepcopy(model.state_dict())
    for factor in (math.nan, 0.):
        (model['table'](torch.tensor([1, 1])) * factor).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        assert stopped_by(guard) == ([id(model['table'].weight)] if factor else None)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    optimizer.step()  # without any gradient
    assert stopped_by(guard) is None


def test_half_precision_overflows_no_norm():
    layer = nn.Linear(300, 300, bias=False).half()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.)
    guard = GradientGuard(optimizer)
    layer.weight.grad = torch.full_like(layer.weight, 1e3)
    optimizer.step()
    assert stopped_by(guard) is None


def test_it_can_be_removed():
    run = Run(OPTIMIZERS[0])
    run.guard.remove()
    run.step(math.nan)
    assert run.model.weight.isnan().all()
