"""A NaN or infinite loss: no rank takes a step, and the message names its origin (promise 7)."""
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import Runner

from tests.helpers.distributed import run_distributed
from tests.helpers.runs import FixedPairs, tiny_runner
from vicmae_mm.commands.run_tool import user_message
from vicmae_mm.engine.hooks import FiniteLossHook, NonFiniteLossError
from vicmae_mm.engine.runner_access import unwrapped_model

TERMS = dict(head='loss_recon', contrast_head='loss_contrast')


class Poison(Hook):
    """Multiply the loss of a head by NaN or infinity; keep the state before the last time."""

    priority = 'LOWEST'

    def __init__(self, head: str, value: float, iters: Iterable[int], rank: int = 0) -> None:
        self.head, self.value, self.iters, self.rank = head, value, set(iters), rank

    def before_train(self, runner: Runner) -> None:
        """Wrap the head's loss."""
        head = getattr(unwrapped_model(runner), self.head)
        loss = head.loss
        head.loss = lambda *args: loss(*args) * self._factor(runner.iter)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Copy everything that a step changes."""
        if runner.iter in self.iters:
            self.before = state(runner)

    def _factor(self, iteration: int) -> float:
        return self.value if iteration in self.iters and get_rank() == self.rank else 1.


def state(runner: Runner) -> dict[str, torch.Tensor]:
    """Copies of weights, buffers and optimizer moments, and which gradients are None."""
    tensors = {name: value.clone() for name, value in runner.model.state_dict().items()}
    for number, values in runner.optim_wrapper.state_dict()['state'].items():
        tensors.update({f'{number}.{name}': value.clone() for name, value in values.items()})
    return tensors


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def build(work_dir: Path, poison: Poison, max_skipped: int = 0, **settings: Any) -> Runner:
    return tiny_runner(
        work_dir, [poison, FiniteLossHook(max_skipped)], dataset=FixedPairs(), **settings)


def one_of_two(unused: bool = False, shuffle: bool = True) -> dict:
    """Settings of a run with two processes: two pairs each, two iterations per epoch."""
    return dict(
        launcher='pytorch',
        cfg=dict(find_unused_parameters=unused),
        train_dataloader=dict(
            batch_size=2, num_workers=0, dataset=FixedPairs(),
            sampler=dict(type='DefaultSampler', shuffle=shuffle),
            collate_fn=dict(type='default_collate')))


def steps_taken(runner: Runner) -> int:
    """Number of steps of the optimizer."""
    return max((int(values['step']) for values in runner.optim_wrapper.state_dict()['state']
                .values()), default=0)


def stop_two_ranks(work_dir: str) -> list[dict]:
    """Poison each term in turn, on rank 1 alone; return what each rank saw."""
    seen = []
    for head, value in (('head', float('nan')), ('contrast_head', float('inf'))):
        folder = Path(work_dir) / head
        poison = Poison(head, value, [1], rank=1)
        runner = build(folder, poison, **one_of_two(shuffle=False))
        with pytest.raises(NonFiniteLossError) as caught:
            runner.train()
        seen.append(dict(message=user_message(caught.value), iter=runner.iter,
                         unchanged=same(poison.before, state(runner)),
                         steps=steps_taken(runner)))
    return seen


def test_all_ranks_stop_before_the_step(tmp_path):
    ranks = run_distributed(stop_two_ranks, 2, str(tmp_path))
    assert ranks[0] == ranks[1]
    for (head, term), value, seen in zip(TERMS.items(), ('nan', 'inf'), ranks[0], strict=True):
        # two samples per rank, alternating: rank 1's second batch is videos 5 and 7
        assert seen['message'].startswith(
            'The loss is not finite in iteration 2 (epoch 1): rank 1: '
            f'{term} is {value}, with samples videos/5.mp4, videos/7.mp4. No step was taken; ')
        assert seen['iter'] == 1 and seen['steps'] == 1 and seen['unchanged']
        line, = (tmp_path / head / FiniteLossHook.FILENAME).read_text().splitlines()
        assert json.loads(line) == dict(iter=2, epoch=1, rank=1, terms={term: value},
                                        samples=['videos/5.mp4', 'videos/7.mp4'])


def skip_two_ranks(work_dir: str) -> list[dict]:
    """Skip with and without unused parameters, and in the middle of gradient accumulation."""
    seen = []
    for number, (unused, accumulate) in enumerate([(False, 1), (True, 1), (True, 2)]):
        poison = Poison('contrast_head', float('nan'), [0, 3], rank=1)
        runner = build(
            Path(work_dir) / str(number), poison, max_skipped=2, epochs=4,
            optim_wrapper=dict(
                optimizer=dict(type='AdamW', lr=1e-2), accumulative_counts=accumulate),
            **one_of_two(unused))
        runner.train()
        weights = torch.cat([p.detach().flatten() for p in runner.model.parameters()])
        seen.append(dict(weights=weights, steps=steps_taken(runner), iter=runner.iter,
                         count=runner.message_hub.get_scalar('train/skipped_batches').current()))
    return seen


def test_skipping_keeps_the_ranks_together(tmp_path):
    first, second = run_distributed(skip_two_ranks, 2, str(tmp_path))
    for a, b, steps in zip(first, second, (6, 6, 3), strict=True):
        assert torch.equal(a['weights'], b['weights']) and a['weights'].isfinite().all()
        assert (a['iter'], a['count'], a['steps']) == (8, 2, steps)


def test_a_skipped_batch_leaves_no_trace(tmp_path):
    poison = Poison('head', float('nan'), [3])
    runner = build(tmp_path, poison, max_skipped=1)
    runner.train()  # the last of four iterations is skipped
    assert same(poison.before, state(runner)) and steps_taken(runner) == 3
    log = next(tmp_path.rglob('*.log')).read_text()
    assert 'The batch was skipped: 1 of at most 1.' in log
    assert 'skipped_batches: 1' in log and 'loss: nan' not in log


def test_the_budget_lasts_over_a_resumed_run(tmp_path):
    hooks = dict(checkpoint=dict(type='vicmae_mm.SafeCheckpointHook', interval=1),
                 logger=dict(type='LoggerHook', interval=1))
    build(tmp_path, Poison('head', float('nan'), [1]), max_skipped=2, epochs=1,
          default_hooks=hooks).train()
    runner = build(tmp_path, Poison('head', float('nan'), [2, 4]), max_skipped=2, epochs=3,
                   default_hooks=hooks, resume=True)
    with pytest.raises(NonFiniteLossError, match=r'iteration 5 .* Batches skipped before: 2'):
        runner.train()


def test_overflow_of_scaled_gradients_is_left_to_the_scaler(tmp_path, monkeypatch):
    """mmengine's wrapper for fp16, on the CPU: 2^127 times a gradient is infinite in fp32."""
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler',
                        lambda **kwargs: torch.amp.GradScaler('cpu', **kwargs))
    runner = build(tmp_path, Poison('head', 1., []), optim_wrapper=dict(
        type='AmpOptimWrapper', dtype='bfloat16', optimizer=dict(type='AdamW', lr=1e-2),
        loss_scale=dict(init_scale=2.**127)))
    runner.train()
    scaler = runner.optim_wrapper.loss_scaler
    skipped = 4 - steps_taken(runner)
    assert skipped > 0 and scaler.get_scale() == 2.**(127 - skipped)  # halved each time


def test_without_the_hook_training_continues_with_nan(tmp_path):
    """Stock mmengine: the weights are lost in one step, without a message."""
    runner = tiny_runner(
        tmp_path, [Poison('head', float('nan'), [1])], dataset=FixedPairs())
    runner.train()
    assert runner.iter == 4
    assert all(p.isnan().any() for p in runner.model.backbone.layers.parameters())
