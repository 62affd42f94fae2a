"""The batch that a learning rate is for: samples, pairs, processes, accumulation."""
from types import SimpleNamespace
from typing import Any

import pytest
from mmaction.datasets.transforms import SampleFrames
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from tests.helpers.models import tiny_config
from vicmae_mm.datasets.transforms import RepeatAug, SampleFramePair
from vicmae_mm.engine.step_size import StepSize, accumulated_batches, step_size
from vicmae_mm.registry import MODELS


class Samples(list):
    """A dataset with a pipeline."""

    def __init__(self, *transforms: Any) -> None:
        super().__init__(range(8))
        self.pipeline = SimpleNamespace(transforms=[object(), *transforms])


def pairs(number: int) -> Samples:
    return Samples(SampleFramePair(num_pairs=number))


def joined(*datasets: Samples) -> Any:
    return SimpleNamespace(dataset=SimpleNamespace(datasets=datasets))


def runner_of(dataset: Any, processes: int = 1, **loader: Any) -> Any:
    """What is asked of a runner."""
    built = DataLoader(Samples(), **loader)
    vars(built)['dataset'] = dataset
    return SimpleNamespace(train_dataloader=built, world_size=processes, _train_dataloader=built,
                           model=None)


def wrapper(accumulated: int = 1, kind: str = 'OptimWrapper') -> Any:
    return build_optim_wrapper(nn.Linear(1, 1), dict(
        type=kind, optimizer=dict(type='SGD', lr=1.), accumulative_counts=accumulated))


@pytest.mark.parametrize('dataset, processes, accumulated, want', [
    (Samples(), 1, 1, '2 samples per optimizer step (2 per batch x 1 process(es))'),
    (pairs(1), 8, 1, '16 samples per optimizer step (2 per batch x 8 process(es))'),
    (pairs(4), 8, 512, '32,768 pairs per optimizer step (2 per batch x 4 pairs per video '
     'x 8 process(es) x 512 accumulated batches)'),
    (joined(pairs(3), pairs(3)), 1, 2, '12 pairs per optimizer step (2 per batch x 3 pairs per '
     'video x 1 process(es) x 2 accumulated batches)'),
    # a video in the batch twice is one sample
    (Samples(RepeatAug(lambda clip: clip, [], num_repeats=2)), 4, 1,
     '8 samples per optimizer step (2 per batch x 4 process(es))')])
def test_everything_counts(dataset, processes, accumulated, want):
    size = step_size(runner_of(dataset, processes, batch_size=2), wrapper(accumulated))
    assert str(size) == want
    assert size.total == processes * size.per_process == int(want.split()[0].replace(',', ''))


def test_wrappers_of_mixed_precision_count_alike():
    runner = runner_of(Samples(), batch_size=2)
    assert step_size(runner, wrapper(8, 'vicmae_mm.BF16OptimWrapper')).total == 16


def test_samplers_of_batches():
    class Batches(list):
        batch_size = 3

    assert step_size(
        runner_of(Samples(), batch_sampler=Batches([[0, 1, 2]])), wrapper()).total == 3
    with pytest.raises(ValueError, match='batches of train_dataloader differ'):
        step_size(runner_of(Samples(), batch_sampler=[[0], [1, 2]]), wrapper())


@pytest.mark.parametrize('clips, want', [(1, 1), (2, 1), (4, 2)])
def test_two_clips_of_stock_are_a_pair_for_contrast_alone(clips, want):
    runner = runner_of(Samples(SampleFrames(clip_len=1, num_clips=clips)), batch_size=2)
    assert step_size(runner, wrapper()).pairs == 1
    runner.model = MODELS.build(tiny_config())
    size = step_size(runner, wrapper())
    assert size.pairs == want and str(size).startswith(f'{2 * want} pairs per optimizer step')


def test_datasets_of_different_pairs_are_refused():
    with pytest.raises(ValueError, match='its datasets in num_pairs'):
        step_size(runner_of(joined(pairs(1), pairs(2)), batch_size=2), wrapper())


class Log(list):
    """Keeps what is logged."""

    info = list.append


@pytest.mark.parametrize('batch, accumulated, number, base, want', [
    (8, 512, 1, 4096, 1.), (8, 1, 1, 4096, 8 / 4096), (8, 64, 4, 4096, 0.5)])
def test_the_runner_scales_by_it(batch, accumulated, number, base, want):
    runner = runner_of(pairs(number), batch_size=batch)
    runner.param_schedulers, runner.logger = None, Log()
    built = wrapper(accumulated)
    Runner.scale_lr(runner, built, dict(base_batch_size=base, enable=False))
    assert built.get_lr()['lr'] == [1.] and len(runner.logger) == 1
    Runner.scale_lr(runner, built, dict(base_batch_size=base, enable=True))
    assert built.get_lr()['lr'] == [want]
    total = batch * accumulated * number
    assert f'the current batch size is {total}.' in runner.logger[-1]
    assert isinstance(runner._train_dataloader, DataLoader)


def test_each_of_several_optimizers_by_its_own():
    runner = runner_of(Samples(), batch_size=2)
    runner.param_schedulers, runner.logger = None, Log()
    both = OptimWrapperDict(one=wrapper(1), two=wrapper(4))
    Runner.scale_lr(runner, both, dict(base_batch_size=8, enable=True))
    assert both.get_lr() == {'one.lr': [0.25], 'two.lr': [1.]}
    assert accumulated_batches(OptimWrapperDict(one=wrapper(6), two=wrapper(4))) == 12


def test_what_cannot_be_counted_is_not_scaled():
    runner = runner_of(Samples(), batch_sampler=[[0], [1, 2]])
    Runner.scale_lr(runner, wrapper(), dict(base_batch_size=8, enable=False))
    with pytest.raises(ValueError, match='--auto-scale-lr: The samples per optimizer step cannot'):
        Runner.scale_lr(runner, wrapper(), dict(base_batch_size=8, enable=True))


def test_the_product():
    size = StepSize(8, 2, 4, 16)
    assert (size.per_process, size.simultaneous, size.total) == (256, 64, 1024)


def test_the_base_lr_of_the_log_is_scaled_alike():
    """That of the config, before the decay of layers."""
    runner = runner_of(Samples(), batch_size=2)
    runner.param_schedulers, runner.logger = None, Log()
    built = build_optim_wrapper(nn.Linear(1, 1), dict(
        type='OptimWrapper', optimizer=dict(type='SGD', lr=1.),
        paramwise_cfg=dict(bias_lr_mult=0.1)))
    Runner.scale_lr(runner, built, dict(base_batch_size=8, enable=True))
    assert built.get_lr()['base_lr'] == [0.25] and built.get_lr()['lr'][0] == 0.25
