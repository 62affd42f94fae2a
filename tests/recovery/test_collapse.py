"""Collapse of the embeddings is detected in real runs, without false alarms (promise 8)."""
import re
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import BatchSampler

from tests.helpers.models import tiny_config
from tests.helpers.runs import PREPROCESSOR, FixedPairs, tiny_runner
from vicmae_mm.engine.hooks import CollapseHook
from vicmae_mm.engine.late_values import StepNumbers


def train(work_dir: Path, iters: int, *hooks: Hook, pairs: int = 8, schedule: str = 'constant',
          **model: Any) -> list[str]:
    """Train with the default CollapseHook, one iteration per epoch; return the log's lines."""
    runner = tiny_runner(
        work_dir, [
            dict(type='vicmae_mm.CollapseHook'), *hooks,
            dict(type='vicmae_mm.ContrastWeightHook', schedule=schedule, begin=30)],
        model=tiny_config(data_preprocessor=PREPROCESSOR, **model), epochs=iters,
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1), checkpoint=None,
                           runtime_info=dict(type='RuntimeInfoHook')),
        train_dataloader=dict(
            batch_size=pairs, num_workers=0, dataset=FixedPairs(pairs),
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate')))
    runner.train()
    return next(work_dir.rglob('*.log')).read_text().splitlines()


def warnings(lines: list[str]) -> list[tuple[int, str]]:
    """Iterations, from 1, of the warnings, and their messages."""
    seen, found = 0, []
    for line in lines:
        if 'Epoch(train)' in line:
            seen += 1
        elif 'The embeddings have collapsed' in line:
            found.append((seen + 1, line))
    return found


class ConstantEmbeddings(Hook):
    """Replace all embeddings by the same one, in some iterations."""

    def __init__(self, collapsed: Collection[int]) -> None:
        self.collapsed = collapsed

    def before_train(self, runner: Runner) -> None:
        """Hook the projector."""
        runner.model.projector.register_forward_hook(
            lambda module, args, z: z * 0 + 1 if runner.iter in self.collapsed else None)


class OnALine(ConstantEmbeddings):
    """Put embeddings at the two ends of a line: as far apart as possible, but of rank 1."""

    def before_train(self, runner: Runner) -> None:
        """Hook the projector."""
        runner.model.projector.register_forward_hook(
            lambda module, args, z: (z[:, :1] * 0 + torch.tensor([1., -1.]).repeat(
                len(z) // 2)[:, None]).expand_as(z))


def test_warns_after_fifty_iterations_in_a_row(tmp_path):
    lines = train(tmp_path, 120, ConstantEmbeddings(range(3, 120)))
    (when, message), = warnings(lines)
    assert when == 53  # the 50th of them; collapsed from the 4th iteration on
    assert 'WARNING' in message and 'for 50 iterations' in message
    assert 'embedding_std is 0, below 0.1 and embedding_rank is 0, below 2' in message
    assert 'lower the learning rate' in message
    assert 'embedding_rank: 0.0000' in lines[-1]


def test_recovering_resets_the_count(tmp_path):
    assert not warnings(train(tmp_path / '49', 60, ConstantEmbeddings(range(5, 54))))
    twice = [*range(50), *range(52, 102)]
    found = warnings(train(tmp_path / 'twice', 105, ConstantEmbeddings(twice)))
    assert [when for when, _ in found] == [50, 102]


def test_not_counted_before_contrast_begins(tmp_path):
    found = warnings(train(tmp_path, 85, ConstantEmbeddings(range(85)), schedule='step'))
    assert [when for when, _ in found] == [80]  # contrast from the 31st on


def test_dimensional_collapse(tmp_path):
    (_, message), = warnings(train(tmp_path, 55, OnALine(range(0))))
    assert 'embedding_std' not in message.split('for 50')[0]
    assert 'embedding_rank is 1, below' in message


def test_training_that_collapses_and_training_that_does_not(tmp_path):
    """SimSiam without its stop-gradient collapses; InfoNCE does not."""
    collapsing = dict(type='vicmae_mm.SimSiamHead', predictor=None, stop_grad=False)
    head = dict(contrast_head=dict(_delete_=True, **collapsing), contrast_weight=1.)
    assert warnings(train(tmp_path / 'collapsing', 150, **head))
    assert not warnings(train(tmp_path / 'healthy', 150, contrast_weight=1.))


def test_batches_too_small_to_judge(tmp_path):
    lines = train(tmp_path, 55, ConstantEmbeddings(range(55)), pairs=4)
    assert not warnings(lines)
    assert any('fewer than 8 pairs per step' in line for line in lines)


def test_warns_again_after_twenty_times_the_patience(tmp_path):
    runner = tiny_runner(tmp_path, [], dataset=FixedPairs(), train_dataloader=dict(
        batch_size=8, num_workers=0, dataset=FixedPairs(8),
        sampler=dict(type='DefaultSampler', shuffle=True)))
    hook = CollapseHook(patience=2)
    runner._train_loop = runner.build_train_loop(dict(by_epoch=True, max_epochs=1))
    hook.before_train(runner)
    for _ in range(81):
        hook.after_train_iter(runner, 0, outputs=dict(embedding_std=0., embedding_rank=5.))
    log = next(tmp_path.rglob('*.log')).read_text()
    assert re.findall(r'for (\d+) iterations', log) == ['2', '42']


def test_batches_of_a_batch_sampler(tmp_path):
    hook = CollapseHook()
    tiny_runner(tmp_path, [hook], dataset=FixedPairs(), train_dataloader=dict(
        num_workers=0, dataset=FixedPairs(8), sampler=dict(type='DefaultSampler', shuffle=True),
        batch_size=4, batch_sampler=dict(type=BatchSampler, drop_last=True),
        collate_fn=dict(type='default_collate'))).train()
    assert hook._watching  # their size is not known in advance


def test_patience():
    with pytest.raises(ValueError, match='patience=0 must be'):
        CollapseHook(patience=0)


def test_values_that_are_read_late_name_their_iteration():
    runner = SimpleNamespace(message_hub=SimpleNamespace())
    hook = CollapseHook(patience=2)
    hook._watching = True
    low, high = (dict(embedding_std=torch.tensor(value)) for value in (0., 1.))
    found = []
    runner.logger = SimpleNamespace(warning=found.append)
    for step, outputs in enumerate([low, low, high, low, {}, low, low]):
        runner.iter = step
        runner.message_hub.step_numbers = numbers = StepNumbers()
        hook.after_train_iter(runner, 0, outputs=outputs)
        if step == 5:
            numbers.skipped = numbers.add(torch.tensor(1.))
        if step in (1, 6):  # read with the next iteration
            assert len(found) == (step == 6)
    hook.after_train_epoch(runner)
    assert [re.findall(r'for 2 iterations up to (\d)', text) for text in found] == [['2'], ['7']]
