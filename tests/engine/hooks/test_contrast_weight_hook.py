"""The lambda schedule: closed form, and a pure function of the epoch."""
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from tests.helpers.distributed import run_distributed
from tests.helpers.runs import FixedPairs, tiny_runner
from vicmae_mm.engine.hooks.contrast_weight_hook import ContrastWeightHook, contrast_scale
from vicmae_mm.engine.runner_access import unwrapped_model


def scale_of(hook: ContrastWeightHook, epoch: int, max_epochs: int = 800) -> float:
    runner = SimpleNamespace(
        epoch=epoch, max_epochs=max_epochs, model=SimpleNamespace(contrast_scale=None))
    hook.before_train_iter(runner, batch_idx=0)
    return runner.model.contrast_scale


def test_table_7_starts_at_epoch_200_of_800():
    hook = ContrastWeightHook(schedule='step', begin_ratio=200 / 800)
    assert [scale_of(hook, epoch) for epoch in (0, 199, 200, 799)] == [0, 0, 1, 1]


def test_shorter_runs_keep_the_share():
    hook = ContrastWeightHook()
    assert [scale_of(hook, epoch, max_epochs=20) for epoch in (4, 5)] == [0, 1]


def test_the_epoch_alone_decides():
    hook = ContrastWeightHook(schedule='linear', begin=2, ramp_epochs=4)
    in_order = [scale_of(hook, epoch) for epoch in range(8)]
    resumed = [scale_of(ContrastWeightHook('linear', begin=2, ramp_epochs=4), e) for e in range(8)]
    assert in_order == resumed == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1]


def test_cosine_and_constant():
    cosine = [contrast_scale(epoch, 'cosine', 1, 4) for epoch in range(6)]
    expected = [0] + [0.5 * (1 - math.cos(math.pi * k / 4)) for k in (1, 2, 3, 4)] + [1]
    assert cosine == pytest.approx(expected, abs=1e-15)
    assert contrast_scale(0, 'constant', 200, 0) == 1


def test_a_run_without_epochs_is_refused():
    runner = SimpleNamespace(
        model=None, train_loop=IterBasedTrainLoop.__new__(IterBasedTrainLoop))
    with pytest.raises(ValueError, match='counts epochs'):
        ContrastWeightHook().before_train(runner)
    ContrastWeightHook(schedule='constant').before_train(runner)


def test_contrast_that_never_begins_is_refused():
    with pytest.raises(ValueError, match=r'begins with epoch 200 .* run has 200'):
        ContrastWeightHook(begin=200).before_train(
            SimpleNamespace(train_loop=None, max_epochs=200))


@pytest.mark.parametrize('kwargs, message', [
    (dict(schedule='sigmoid'), "schedule='sigmoid' is unknown"),
    (dict(begin_ratio=200), 'begin_ratio=200'),
    (dict(begin=-1), 'begin=-1'),
    (dict(schedule='linear'), 'ramp_epochs >= 1'),
])
def test_wrong_values_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ContrastWeightHook(**kwargs)


class Gradients(Hook):
    """What the optimizer gets, and whether unused parameters were looked for."""

    def before_train(self, runner: Runner) -> None:
        """Watch the optimizer."""
        self.seen: list[list] = []
        runner.optim_wrapper.optimizer.register_step_pre_hook(
            lambda optimizer, args, kwargs: self.seen.append([
                'none' if parameter.grad is None else parameter.grad.clone()
                for group in optimizer.param_groups for parameter in group['params']]))
        self.searched: list[bool] = []

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Note the setting of this step."""
        self.searched.append(runner.model.find_unused_parameters)


def train_on_two(folder: str, name: str, start: int = 0) -> dict[str, Any]:
    """Train with a decay that would shrink what has a gradient of zero, from an epoch on."""
    gradients, hook = Gradients(), ContrastWeightHook(begin=1)
    if name == 'always':
        hook.before_train_epoch = lambda runner: None
    resumed = dict(resume=True, load_from=f'{folder}/new_0/epoch_{start}.pth') if start else {}
    runner = tiny_runner(
        Path(folder) / name, [hook, dict(type='vicmae_mm.StepSeedHook'), gradients], epochs=3,
        launcher='pytorch', cfg=dict(find_unused_parameters=True),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2, weight_decay=.5)),
        train_dataloader=dict(
            batch_size=2, num_workers=0, dataset=FixedPairs(),
            sampler=dict(type='vicmae_mm.EpochSampler'),
            collate_fn=dict(type='default_collate')), **resumed)
    runner.train()
    return dict(gradients=gradients.seen, searched=gradients.searched,
                weights=[*unwrapped_model(runner).state_dict().values()])


def train_and_resume(folder: str) -> list[dict]:
    """A run, and what it does after its checkpoint."""
    return [train_on_two(folder, f'new_{start}', start) for start in range(2)]


def test_unused_parameters_are_looked_for_only_while_lambda_is_0(tmp_path):
    runs = run_distributed(train_and_resume, 2, str(tmp_path))
    before = run_distributed(train_on_two, 2, str(tmp_path), 'always')
    for rank, always in enumerate(before):
        assert always['searched'] == [True] * 6
        assert [run['searched'] for run in runs[rank]] == [
            [True] * 2 + [False] * 4, [False] * 4]
        for run in runs[rank]:
            steps = run['gradients']
            for mine, theirs in zip(steps, always['gradients'][-len(steps):], strict=True):
                assert all(a == b if isinstance(a, str) else torch.equal(a, b)
                           for a, b in zip(mine, theirs, strict=True))
            assert all(torch.equal(a, b) for a, b in zip(
                run['weights'], always['weights'], strict=True))
        # Position tables are fixed; without contrast, the projector has no gradients either.
        missing = [sum(isinstance(each, str) for each in step) for step in always['gradients']]
        assert missing == [12] * 2 + [2] * 4
