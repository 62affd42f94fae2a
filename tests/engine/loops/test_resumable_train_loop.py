"""Where ResumableTrainLoop resumes. That training then continues identically: tests/recovery."""
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from mmengine.hooks import Hook
from torch.utils.data import BatchSampler, ConcatDataset

from tests.helpers.runs import RandomPairs, tiny_runner
from vicmae_mm.datasets import MixedPairs, SeededSamples


class Steps(Hook):
    """Notes (epoch, batch_idx, samples, pixels) of every iteration."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        # pixels without random streams differ when resumed
        seeded = isinstance(runner.train_dataloader.dataset, SeededSamples)
        self.seen.append((runner.epoch, batch_idx, *data_batch['data_samples'].tolist(),
                          data_batch['inputs'][1].sum().item() * seeded))


class GrowingBatches:
    """Batches of 4 and 5 in turn, so it has no batch_size."""

    def __init__(self, sampler: Any, batch_size: int) -> None:
        self.sampler = sampler

    def __iter__(self) -> Any:
        indices = list(self.sampler)
        return iter([indices[:4], indices[4:9], indices[9:13], indices[13:18]])

    def __len__(self) -> int:
        return 4


def train(work_dir: Path, checkpoint: str | None = None, batch_size: int = 4, length: int = 18,
          sampler: str = 'vicmae_mm.EpochSampler', seed: int | None = 0,
          loop: str = 'vicmae_mm.ResumableTrainLoop', by_epoch: bool = False,
          workers: int = 0, batch_sampler: type = BatchSampler) -> list[tuple]:
    """Two epochs of four iterations; a checkpoint after each."""
    steps = Steps()
    pairs = RandomPairs(length)
    runner = tiny_runner(
        work_dir, [steps, dict(type='vicmae_mm.StepSeedHook')],
        train_dataloader=dict(
            batch_size=batch_size, num_workers=workers, persistent_workers=workers > 0,
            dataset=SeededSamples(pairs) if workers else pairs,
            **(dict(drop_last=True) if batch_sampler is BatchSampler else
               dict(batch_sampler=dict(type=batch_sampler))),
            sampler=dict(type=sampler, round_up=False),
            collate_fn=dict(type='default_collate')),
        train_cfg=dict(type=loop, max_epochs=2), randomness=dict(seed=seed),
        default_hooks=dict(checkpoint=dict(
            type='CheckpointHook', by_epoch=by_epoch, interval=1)),
        resume=checkpoint is not None,
        load_from=checkpoint and str(work_dir.parent / 'whole' / checkpoint))
    runner.train()
    if workers:
        runner.train_dataloader._iterator._shutdown_workers()
    return steps.seen


@pytest.mark.parametrize(('seed', 'workers'), [(0, 0), (None, 0), (0, 2)])
def test_next_batch(seed, workers, tmp_path):
    whole = train(tmp_path / 'whole', seed=seed, workers=workers)
    assert [step[:2] for step in whole] == [(e, b) for e in (0, 1) for b in range(4)]
    for done in (2, 4, 5, 8):  # 4 and 8: the end of an epoch that has not been counted yet
        assert train(tmp_path / f'{done}', f'iter_{done}.pth', seed=seed,
                     workers=workers) == whole[done:]


def test_end_of_an_epoch_with_any_sampler(tmp_path):
    whole = train(tmp_path / 'whole', sampler='DefaultSampler', by_epoch=True)
    assert train(tmp_path / 'on', 'epoch_1.pth', sampler='DefaultSampler',
                 by_epoch=True) == whole[4:]


def test_sampler_that_starts_with_the_first_sample_only(tmp_path):
    train(tmp_path / 'whole')
    with pytest.raises(ValueError, match='2 of the 4 batches of epoch 1, but DefaultSampler'):
        train(tmp_path / 'on', 'iter_2.pth', sampler='DefaultSampler')
    train(tmp_path / 'at_the_end', 'iter_8.pth')


def test_batches_that_differ_in_size(tmp_path):
    whole = train(tmp_path / 'whole', batch_sampler=GrowingBatches, by_epoch=True)
    assert [len(step) for step in whole] == [7, 8] * 4
    assert train(tmp_path / 'on', 'epoch_1.pth', batch_sampler=GrowingBatches,
                 by_epoch=True) == whole[4:]
    train(tmp_path / 'whole', batch_sampler=GrowingBatches)
    with pytest.raises(ValueError, match='2 of the 4 batches of epoch 1, but GrowingBatches a'):
        train(tmp_path / 'within', 'iter_2.pth', batch_sampler=GrowingBatches)


@pytest.mark.parametrize('change', [dict(batch_size=3), dict(length=14)])
def test_other_batches_start_the_epoch_again(change, tmp_path):
    train(tmp_path / 'whole')
    with patch('vicmae_mm.engine.loops.resumable_train_loop.print_log') as log:
        resumed = train(tmp_path / 'on', 'iter_5.pth', **change)
    batch_size = change.get('batch_size', 4)
    batches = change.get('length', 18) // batch_size
    message, = (call.args[0] for call in log.call_args_list)
    assert '4 batches of 4 samples' in message
    assert f'{batches} of {batch_size}' in message and 'epoch 2 starts again' in message
    assert [step[:2] for step in resumed] == [(1, b) for b in range(batches)]


def test_checkpoint_of_another_loop(tmp_path):
    train(tmp_path / 'whole', loop='EpochBasedTrainLoop')
    with patch('vicmae_mm.engine.loops.resumable_train_loop.print_log') as log:
        resumed = train(tmp_path / 'on', 'iter_5.pth')
        assert [step[:2] for step in resumed] == [(1, b) for b in range(4)]
        message, = (call.args[0] for call in log.call_args_list)
        assert '5 iterations by another loop' in message and 'epoch 2 starts with' in message
        train(tmp_path / 'at_the_end', 'iter_4.pth')
        assert log.call_count == 1


def test_a_mix_next_to_another_dataset_is_refused(tmp_path):
    """Processes whose batches have no source would log other names, and wait for each other."""
    mix = MixedPairs(dict(a=RandomPairs(4), b=RandomPairs(4)))
    loader = dict(batch_size=4, sampler=dict(type='vicmae_mm.EpochSampler'),
                  dataset=ConcatDataset([mix, RandomPairs(4)]))
    runner = tiny_runner(tmp_path, [], train_dataloader=loader,
                         train_cfg=dict(type='vicmae_mm.ResumableTrainLoop', max_epochs=1))
    with pytest.raises(ValueError, match='has a MixedPairs next to another dataset'):
        runner.train()
