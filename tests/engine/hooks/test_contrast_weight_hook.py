"""The lambda schedule: closed form, and a pure function of the epoch."""
import math
from types import SimpleNamespace

import pytest
from mmengine.runner import IterBasedTrainLoop

from vicmae_mm.engine.hooks.contrast_weight_hook import ContrastWeightHook, contrast_scale


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
