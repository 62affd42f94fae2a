"""Weights that are not finite are neither saved nor trained on (promise 7).

A loss that is not finite is in test_finite_loss.py; here, the loss is finite, but its gradient, a
buffer or a file is not.
"""
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from tests.helpers.distributed import run_distributed
from tests.helpers.runs import FixedPairs, finish_saving, tiny_runner
from tests.recovery.test_finite_loss import one_of_two, same, state, steps_taken
from vicmae_mm.engine.hooks import FiniteLossHook, NonFiniteLossError
from vicmae_mm.engine.optimizers.gradient_guard import GradientGuard

NAN, INF = float('nan'), float('inf')
CHECKPOINT = dict(type='vicmae_mm.SafeCheckpointHook', interval=1)


class Overflow(Hook):
    """Make gradients of some iterations overflow, on one rank; keep the state before the last."""

    priority = 'LOWEST'

    def __init__(self, iters: list[int], value: float = INF, rank: int = 0) -> None:
        self.iters, self.value, self.rank = iters, value, rank

    def before_train(self, runner: Runner) -> None:
        """Multiply the gradient of a parameter."""
        self.runner = runner
        model = getattr(runner.model, 'module', runner.model)
        self.handle = model.backbone.ln1.weight.register_hook(self._factor)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Copy everything that a step changes."""
        if runner.iter in self.iters:
            self.before = state(runner)

    def _factor(self, grad: Tensor) -> Tensor:
        bad = self.runner.iter in self.iters and get_rank() == self.rank
        return grad * self.value if bad else grad


def build(folder: Path, *hooks: Any, max_skipped: int = 0, save: bool = True,
          **settings: Any) -> Runner:
    default = dict(checkpoint=CHECKPOINT if save else None,
                   logger=dict(type='LoggerHook', interval=1))
    return tiny_runner(folder, [*hooks, FiniteLossHook(max_skipped)],
                       **{'dataset': FixedPairs(), 'default_hooks': default, **settings})


@pytest.mark.parametrize('value', [INF, NAN])
@pytest.mark.parametrize('wrapper', [
    dict(type='vicmae_mm.BF16OptimWrapper', constructor='vicmae_mm.FusedOptimWrapperConstructor',
         optimizer=dict(type='AdamW', lr=1e-2)),
    dict(optimizer=dict(type='SGD', lr=1e-2, momentum=0.9), clip_grad=dict(max_norm=1.))])
def test_the_last_step_before_a_save(value, wrapper, tmp_path):
    overflow = Overflow([3], value)
    runner = build(tmp_path, overflow, optim_wrapper=wrapper)
    with pytest.raises(NonFiniteLossError) as caught:
        runner.train()
    # clipping divides all gradients by their norm, which is NaN
    is_spread = 'clip_grad' in wrapper and value is NAN
    names = 'backbone.cls_token, ' if is_spread else 'backbone.ln1.weight, with'
    assert str(caught.value).startswith(
        f'The gradient is not finite in iteration 4 (epoch 2), although the loss is: {names}')
    assert 'so lower the learning rate before --resume, or skip' in str(caught.value)
    assert same(overflow.before, state(runner))
    line, = (tmp_path / FiniteLossHook.FILENAME).read_text().splitlines()
    report = json.loads(line)
    assert 'backbone.ln1.weight' in report['parameters']
    assert (report['iter'], report['rank'], len(report['samples'])) == (4, 0, 4)
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_1.pth']
    # the run goes on from there, in the same process
    overflow.iters = []
    build(tmp_path, optim_wrapper=wrapper, resume=True).train()


def test_skipped_and_counted(tmp_path):
    overflow = Overflow([3])
    runner = build(tmp_path, overflow, max_skipped=1, save=False)
    runner.train()
    assert same(overflow.before, state(runner)) and steps_taken(runner) == 3
    log = next(tmp_path.rglob('*.log')).read_text()
    assert 'skipped: 1 of at most 1.' in log and 'skipped_batches: 1' in log


def test_accumulated_batches_are_all_named(tmp_path):
    runner = build(tmp_path, Overflow([0]), save=False, optim_wrapper=dict(
        optimizer=dict(type='SGD', lr=.1), accumulative_counts=2))
    with pytest.raises(NonFiniteLossError, match=r'iteration 2 .* and 4 more\. No step'):
        runner.train()
    report = json.loads((tmp_path / FiniteLossHook.FILENAME).read_text())
    assert len({*report['samples']}) == 8


def test_several_optimizers_are_guarded(tmp_path):
    runner = build(tmp_path, Overflow([]), save=False)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.optim_wrapper = OptimWrapperDict(a=wrapper)
    hook = FiniteLossHook()
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    for parameter in runner.model.parameters():
        parameter.grad = torch.full_like(parameter, NAN)
    wrapper.step()
    with pytest.raises(NonFiniteLossError, match=r'in iteration 1 \(epoch 1\): backbone'):
        hook.after_train_iter(runner, 0)
    assert all(parameter.isfinite().all() for parameter in runner.model.parameters())


def test_a_scaler_that_only_skips_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(
        amp_optimizer_wrapper, 'GradScaler', partial(torch.amp.GradScaler, 'cpu'))
    runner = build(tmp_path, Overflow([*range(10)], NAN), epochs=5, save=False, optim_wrapper=dict(
        type='AmpOptimWrapper', dtype='bfloat16', optimizer=dict(type='AdamW', lr=1e-2),
        loss_scale=dict(init_scale=2.**-20)))
    with pytest.raises(NonFiniteLossError, match=r'fallen to 2\.98\S+ in iteration 5: the grad'):
        runner.train()
    assert steps_taken(runner) == 0


def stop_and_skip(work_dir: str) -> list[dict]:
    """An overflow on rank 1 alone: stop, and skip with accumulation."""
    seen = []
    for number, (skipped, accumulate) in enumerate([(0, 1), (1, 2)]):
        overflow = Overflow([1], rank=1)
        runner = build(Path(work_dir) / str(number), overflow, max_skipped=skipped, save=False,
                       optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2),
                                          accumulative_counts=accumulate), **one_of_two())
        message = ''
        try:
            runner.train()
        except NonFiniteLossError as error:
            message = str(error)
        weights = torch.cat([p.detach().flatten() for p in runner.model.parameters()])
        seen.append(dict(message=message, weights=weights, steps=steps_taken(runner)))
    return [*seen, dict(alone=step_alone())]


def step_alone() -> tuple[float, list[int] | None]:
    """A step on NaN on rank 1, without DistributedDataParallel, which would spread it."""
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=.1)
    guard = GradientGuard(optimizer)
    (weight * (NAN if get_rank() else 1.)).sum().backward()
    optimizer.step()
    stopped = guard.pop()
    return weight.item(), [each == id(weight) for each in stopped.broken()]


def test_ranks_stay_together(tmp_path):
    first, second = run_distributed(stop_and_skip, 2, str(tmp_path))
    assert (first.pop()['alone'], second.pop()['alone']) == ((1., []), (1., [True]))
    for a, b, steps in zip(first, second, (1, 1), strict=True):
        assert a['message'] == b['message'] and a['steps'] == b['steps'] == steps
        assert torch.equal(a['weights'], b['weights']) and a['weights'].isfinite().all()
    assert 'not finite in iteration 2' in first[0]['message'] and not first[1]['message']
    lines = (tmp_path / '0' / FiniteLossHook.FILENAME).read_text().splitlines()
    assert [json.loads(line)['rank'] for line in lines] == [0, 1]


class Break(Hook):
    """Write NaN over what the step leaves alone."""

    def __init__(self, what: str) -> None:
        self.what = what

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """In the last iteration of the first epoch."""
        if runner.iter == 1:
            optimizer = runner.optim_wrapper.optimizer
            place = dict(
                buffer=next(buffer for name, buffer in runner.model.named_buffers()
                            if name.endswith('running_var')),
                average=next((h.ema_model.module.backbone.ln1.weight for h in runner.hooks
                              if hasattr(h, 'ema_model')), None),
                moment=next(iter(optimizer.state.values()))['exp_avg'] if optimizer.state else 0)
            place[self.what].data.fill_(NAN)


@pytest.mark.parametrize('what, name, hooks', [
    ('buffer', 'state_dict.', []), ('moment', 'optimizer.state.', []),
    ('average', 'state_dict.', [dict(type='EMAHook')])])
def test_no_file_has_it(what, name, hooks, tmp_path):
    runner = build(tmp_path, *hooks, Break(what))
    with pytest.raises(RuntimeError, match='No checkpoint is written after 2 iterations') as caught:
        runner.train()
    assert f'1 tensors are not finite (NaN or infinity): {name}' in str(caught.value)
    assert 'Lower the learning rate, and start again' in str(caught.value)
    assert not [*tmp_path.glob('*.pth')]


def refused_save(folder: str) -> str:
    runner = build(Path(folder) / 'last', Break('moment'))
    with pytest.raises(RuntimeError) as caught:
        runner.train()
    return str(caught.value)


def refused_best(folder: str) -> str:
    runner = build(Path(folder) / 'best', epochs=1, default_hooks=dict(
        logger=None, checkpoint=dict(CHECKPOINT, save_best='score', rule='greater')))
    runner.train()
    runner.model.apply(lambda module: [
        parameter.data.fill_(INF) for parameter in module.parameters(recurse=False)])
    with pytest.raises(RuntimeError) as caught:
        runner.call_hook('after_val_epoch', metrics=dict(score=1.))
        finish_saving(runner)
    assert not [*Path(folder).glob('best/best*')]
    return str(caught.value)


def refused_saves(folder: str) -> list[str]:
    return [refused_save(folder), refused_best(folder)]


def test_every_process_gets_the_message(tmp_path):
    first, second = run_distributed(refused_saves, 2, str(tmp_path))
    assert first == second
    assert 'No checkpoint is written after 2 iterations' in first[0]
    assert 'epoch_1.pth: lower the learning rate, then use' in first[1]


def test_no_best_one_either(tmp_path):
    assert 'epoch_1.pth: lower the learning rate, then use' in refused_best(str(tmp_path))


@pytest.fixture(scope='module')
def averaged(tmp_path_factory) -> Path:
    """A checkpoint with averaged weights."""
    folder = tmp_path_factory.mktemp('averaged')
    build(folder, dict(type='EMAHook'), epochs=1).train()
    return folder / 'epoch_1.pth'


@pytest.mark.parametrize('part', ['state_dict', 'optimizer', 'ema_state_dict'])
@pytest.mark.parametrize('resume', [True, False])
def test_no_training_starts_from_it(part, resume, averaged, tmp_path):
    path = tmp_path / 'epoch_1.pth'
    checkpoint = torch.load(averaged, weights_only=False)
    key = 'module.backbone.ln1.weight' if part == 'ema_state_dict' else 'backbone.ln1.weight'
    place = (checkpoint['optimizer']['state'][0]['exp_avg'] if part == 'optimizer'
             else checkpoint[part][key])
    place.fill_(NAN)
    torch.save(checkpoint, path)
    runner = build(tmp_path / 'next', dict(type='EMAHook'), resume=resume, load_from=str(path))
    with pytest.raises(ValueError, match=r'epoch_1\.pth has 1 tensors that are not') as caught:
        runner.train()
    assert f': {part}.' in str(caught.value)
    assert 'take an earlier checkpoint' in str(caught.value)


def test_not_by_init_cfg_either(tmp_path):
    runner = build(tmp_path, save=False)
    runner.model.backbone.ln1.weight.data.fill_(NAN)
    runner.model.init_weights = lambda: None
    with pytest.raises(ValueError, match=r'1 tensors of the model are not finite .* Check init'):
        runner.train()


def test_what_is_infinite_by_design_is_saved_and_loaded(tmp_path):
    class Mask(Hook):
        """An attention's mask."""

        def before_run(self, runner: Runner) -> None:
            """Before anything is loaded."""
            runner.model.register_buffer('mask', torch.tensor([0., -INF]))

    build(tmp_path, Mask(), epochs=1).train()
    runner = build(tmp_path, Mask(), epochs=2, resume=True)
    runner.train()
    assert runner.iter == 4
    assert torch.load(tmp_path / 'epoch_2.pth')['state_dict']['mask'].isinf().any()
