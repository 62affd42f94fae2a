"""--epochs: everything that depends on the length of a run keeps its share of it."""
import math
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import mmpretrain.engine  # noqa: F401  (registers its schedulers)
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.utils import get_installed_path

from tests.conftest import REPO
from vicmae_mm.commands.run_length import set_epochs

LENGTH = 50  # iterations of an epoch


def loop_of(cfg: Config, length: int = LENGTH) -> EpochBasedTrainLoop:
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    loop._max_epochs, loop.dataloader = cfg.train_cfg.max_epochs, [0] * length
    loop._max_iters = loop._max_epochs * length
    return loop


def curve(cfg: Config, name: str = 'lr') -> list[float]:
    """The value in each step, of a base value of 1."""
    runner = Runner.__new__(Runner)
    runner._train_loop, runner.logger = loop_of(cfg), SimpleNamespace(debug=lambda *_: None)
    runner._train_dataloader = runner._train_loop.dataloader
    weight = torch.nn.Parameter(torch.zeros(1))
    runner.optim_wrapper = OptimWrapper(
        torch.optim.SGD([weight], lr=1., momentum=1., weight_decay=1.))
    schedules = runner.build_param_scheduler(cfg.param_scheduler)
    values = []
    for step in range(1, runner.max_iters + 1):
        values.append(runner.optim_wrapper.param_groups[0][name])
        for each in schedules:
            if not each.by_epoch or step % LENGTH == 0:
                each.step()
    return values


def run(max_epochs: int, *schedules: dict, **settings: Any) -> Config:
    return Config(dict(train_cfg=dict(max_epochs=max_epochs), param_scheduler=[*schedules],
                       **settings))


LINEAR = dict(type='LinearLR', start_factor=0.01, begin=0)
COSINE = dict(type='CosineAnnealingLR')
CONVERT = dict(convert_to_iter_based=True)


@pytest.mark.parametrize('epochs', [1, 2, 7, 100, 1600])
def test_table_7(epochs):
    cfg = Config.fromfile(REPO / 'configs/vicmae_vit-s16_k400.py')
    cfg.merge_from_dict({'epochs': epochs})
    set_epochs(cfg)
    values = curve(cfg)
    assert cfg.train_cfg.max_epochs == epochs and len(values) == epochs * LENGTH
    peak = values.index(max(values))
    warm_up = max(round(epochs * 40 / 800), 1) if epochs > 1 else 0.5
    assert peak == warm_up * LENGTH - 1 and max(values) == pytest.approx(1)
    rest = (len(values) - 1 - warm_up * LENGTH) / (len(values) - warm_up * LENGTH)
    assert values[-1] == pytest.approx((1 + math.cos(math.pi * rest)) / 2)


def test_the_same_length_changes_nothing():
    cfg = Config.fromfile(REPO / 'configs/vicmae_vit-s16_k400.py')
    before = deepcopy(cfg._cfg_dict)
    set_epochs(cfg, 800)
    assert cfg._cfg_dict == dict(before, epochs=800)
    set_epochs(cfg, 100)
    again = deepcopy(cfg)
    set_epochs(again)  # as from the config that a run leaves in its work dir
    assert again._cfg_dict == cfg._cfg_dict


@pytest.mark.parametrize('schedules, max_epochs, epochs, tolerance', [
    ([dict(LINEAR, end=40, **CONVERT), dict(COSINE, T_max=760, begin=40, end=800, **CONVERT)],
     800, 200, .01),
    ([dict(LINEAR, end=20, **CONVERT), dict(COSINE, begin=20)], 300, 150, .02),
    ([dict(COSINE, T_max=180)], 180, 90, .02),
    ([dict(LINEAR, end=30, **CONVERT), dict(COSINE, T_max=200, begin=30, end=200, **CONVERT)],
     200, 400, .01),  # from the start of the run, in mmaction2's MViT
    ([dict(type='MultiStepLR', milestones=[30, 60, 90])], 100, 200, 1e-9),
    ([dict(LINEAR, end=10), dict(type='MultiStepLR', begin=10, end=150, milestones=[90, 130])],
     150, 300, .06),
    ([dict(LINEAR, end=10, **CONVERT), dict(COSINE, begin=10, end=90),
      dict(type='ConstantLR', factor=1., begin=90, end=100)], 100, 200, .02),
    ([dict(LINEAR, end=500, by_epoch=False), dict(type='PolyLR', begin=500, by_epoch=False)],
     100, 50, .01),
    ([dict(LINEAR, end=500, by_epoch=False), dict(type='MultiStepLR', milestones=[30])],
     60, 120, .01),
    ([dict(type='OneCycleLR', eta_max=1., total_steps=40, **CONVERT)], 40, 80, .01),
    ([dict(type='LinearLR', start_factor=1., end_factor=0., end=40, **CONVERT)], 40, 80, .01),
])
def test_every_kind_keeps_its_share(schedules, max_epochs, epochs, tolerance):
    before = curve(run(max_epochs, *schedules))
    cfg = run(max_epochs, *schedules)
    if schedules[-1].get('end') == max_epochs != schedules[-1].get('T_max'):
        cfg.train_cfg.max_epochs = 10  # a run that was cut: the schedule says what it is for
    set_epochs(cfg, epochs)
    after = curve(cfg)
    differences = [abs(before[k * len(before) // 200] - after[k * len(after) // 200])
                   for k in range(200)]
    assert len(after) == epochs * LENGTH and max(differences) <= tolerance
    assert after[-1] == pytest.approx(before[-1], abs=.01)


def test_momentum_and_decay_of_several_optimizers():
    decay = dict(type='mmpretrain.CosineAnnealingWeightDecay', T_max=100, end=100, eta_min=2.)
    momentum = dict(type='CosineAnnealingMomentum', T_max=100, end=100, eta_min=.5)
    cfg = run(100, decay, momentum)
    set_epochs(cfg, 40)
    assert curve(cfg, 'weight_decay')[-1] == pytest.approx(2, abs=.01)
    assert curve(cfg, 'momentum')[-1] == pytest.approx(.5, abs=.01)
    two = Config(dict(train_cfg=dict(max_epochs=10), param_scheduler=dict(
        a=[dict(COSINE, end=10)], b=dict(COSINE, begin=5, end=10))))
    set_epochs(two, 20)
    assert two.param_scheduler.a[0].end == 20 and two.param_scheduler.b.begin == 10


def test_a_warm_up_always_leaves_its_start():
    """That of one step would not: mmengine divides it by its last."""
    cfg = run(50, dict(LINEAR, end=5), dict(type='MultiStepLR', milestones=[25, 45], end=50))
    set_epochs(cfg, 8)
    assert max(curve(cfg)) == pytest.approx(1)


def test_hooks_and_validation():
    cfg = run(100, default_hooks=dict(contrast=dict(
        type='vicmae_mm.ContrastWeightHook', schedule='linear', begin=20, ramp_epochs=10),
        checkpoint=dict(interval=5), off=None), custom_hooks=[
            dict(type='EMAHook', begin_epoch=50), dict(type='EMAHook', begin_iter=5000),
            dict(type='SwitchRecipeHook', schedule=[dict(action_epoch=90, loss=None)])])
    cfg.train_cfg.update(val_begin=50, val_interval=100, dynamic_intervals=[(90, 1)])
    set_epochs(cfg, 10)
    hook = cfg.default_hooks.contrast
    assert (hook.begin, hook.ramp_epochs, cfg.default_hooks.checkpoint.interval) == (2, 1, 5)
    assert [cfg.custom_hooks[0].begin_epoch, cfg.custom_hooks[1].begin_iter] == [5, 500]
    assert cfg.custom_hooks[2].schedule[0].action_epoch == 9
    loop = cfg.train_cfg
    assert (loop.val_begin, loop.val_interval, loop.dynamic_intervals) == (5, 10, [(9, 1)])


@pytest.mark.parametrize('cfg, epochs, words', [
    (run(20, dict(type='StepLR', step_size=6)), 10, 'StepLR cannot be scaled from 20 epochs'),
    (run(20, dict(type='ExponentialLR', gamma=.9)), 10, 'ExponentialLR cannot be scaled'),
    (run(20, dict(type='CosineRestartLR', periods=[20], eta_min=0.)), 10, 'CosineRestartLR cannot'),
    (run(20, dict(type='MyOwnLR')), 10, 'MyOwnLR cannot be scaled'),
    (Config(dict(train_cfg=dict(by_epoch=False, max_iters=10))), 10, 'has train_cfg.max_iters'),
    (run(20), 0, 'must be 1 or more'), (run(20), 2.5, 'must be 1 or more')])
def test_what_cannot_be_scaled_is_refused(cfg, epochs, words):
    with pytest.raises(ValueError, match=words):
        set_epochs(cfg, epochs)


def test_constant_rates_and_metrics_need_no_scaling():
    cfg = run(20, dict(type='ReduceOnPlateauLR', monitor='acc', patience=3))
    set_epochs(cfg, 30)
    assert cfg.train_cfg.max_epochs == 30 and cfg.param_scheduler[0].patience == 3
    cfg = run(20)
    set_epochs(cfg, 30)
    assert cfg.train_cfg.max_epochs == 30


@pytest.mark.parametrize('package, name', [
    ('mmpretrain', 'mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py'),
    ('mmpretrain', 'resnet/resnet50_32xb64-warmup-lbs_in1k.py'),
    ('mmpretrain', 't2t_vit/t2t-vit-t-14_8xb64_in1k.py'),
    ('mmaction2', 'recognition/swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-'
     'rgb.py'),
    ('mmaction2', 'recognition/tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-100e_kinetics400-rgb.py')
])
def test_stock_configs(package, name):
    cfg = Config.fromfile(f'{get_installed_path(package)}/.mim/configs/{name}')
    before = curve(cfg)
    set_epochs(cfg, 2 * cfg.train_cfg.max_epochs)
    after = curve(cfg)
    assert len(after) == 2 * len(before) and after[-1] == pytest.approx(before[-1], abs=.005)
