"""A schedule that does not end where the run ends is an error that says how to fix it."""
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.runner import IterBasedTrainLoop

from tests.commands.test_run_length import CONVERT, COSINE, LINEAR, loop_of, run
from tests.conftest import REPO
from tests.helpers.tiny_configs import write_mae
from vicmae_mm.commands.preflight import check_config
from vicmae_mm.commands.preflight.findings import Findings
from vicmae_mm.commands.preflight.schedule import check_schedules
from vicmae_mm.commands.run_length import set_epochs


def checked(cfg: Config, length: int = 50, *known: str) -> Findings:
    findings = Findings([*known])
    loop = loop_of(cfg, length)
    if 'max_iters' in cfg.train_cfg:
        loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
        loop._max_epochs, loop._max_iters = 1, cfg.train_cfg.max_iters
    check_schedules(SimpleNamespace(_train_loop=loop, cfg=cfg), findings)
    return findings


def errors(cfg: Config) -> str:
    return ' '.join(checked(cfg).errors)


@pytest.mark.parametrize('max_epochs', [100, 1600])
def test_table_7_in_a_run_of_another_length(max_epochs):
    cfg = Config.fromfile(REPO / 'configs/vicmae_vit-s16_k400.py')
    assert not errors(cfg)
    cfg.train_cfg.max_epochs = max_epochs
    assert (f'(CosineAnnealingLR) ends at epoch 800, the run at epoch {max_epochs}: '
            f'--epochs {max_epochs} fits all schedules to the run') in errors(cfg)
    set_epochs(cfg, max_epochs)
    assert not errors(cfg)


def iterations(*schedules: dict) -> Config:
    return Config(dict(train_cfg=dict(by_epoch=False, max_iters=1000, max_epochs=1),
                       param_scheduler=[*schedules]))


@pytest.mark.parametrize('cfg, words', [
    (run(50, dict(COSINE, T_max=180)), 'ends at epoch 180, the run at epoch 50: --epochs 50'),
    (run(360, dict(COSINE, T_max=180)), 'ends at epoch 180'),  # it would rise again
    (run(100, dict(COSINE, T_max=760, begin=40, end=100)), 'ends at epoch 800'),
    (run(699, dict(COSINE, T_max=800)), 'ends at epoch 800, the run at epoch 699: --epochs 699'),
    (run(8, dict(LINEAR, end=9)), 'ends at epoch 9, the run at epoch 8'),
    (run(98, dict(COSINE, begin=90, end=100)), 'ends at epoch 100, the run at epoch 98'),
    (run(3, dict(LINEAR, end=5, **CONVERT)), 'ends at epoch 5, the run at epoch 3'),
    (run(10, dict(COSINE, begin=20)), 'ends at epoch 20, the run at epoch 10'),
    (run(100, dict(COSINE, end=9000, by_epoch=False)), 'iteration 9000, the run at iteration 5000'),
    (run(100, dict(type='CosineAnnealingMomentum', end=50)), 'CosineAnnealingMomentum) ends at'),
    (run(9, dict(LINEAR, end=1)), 'fewer than two steps, so it would stay at its start_factor'),
    (Config(dict(train_cfg=dict(max_epochs=9), param_scheduler=dict(
        a=[dict(COSINE)], b=[dict(COSINE, end=8)]))), 'param_scheduler.1 (CosineAnnealingLR) ends'),
    (iterations(dict(COSINE, end=900, by_epoch=False)), 'ends at iteration 900, the run at iterat'),
    (iterations(dict(COSINE, T_max=1000)), 'ends at epoch 1000, the run at epoch 1: set the ends'),
])
def test_a_difference_is_an_error(cfg, words):
    assert words in errors(cfg)


def test_without_data_the_steps_of_an_epoch_are_unknown():
    cfg = run(9, dict(LINEAR, end=1, **CONVERT))
    assert checked(cfg, 1).errors and not checked(cfg).errors
    known = 'train_dataloader: No video found'
    assert checked(cfg, 1, known).errors == [known]


@pytest.mark.parametrize('cfg', [
    # mmpretrain's lenet5_mnist and resnet50_8xb128_coslr-90e_in21k, mmaction2's slowonly of 150e
    run(5, dict(type='MultiStepLR', milestones=[15])),
    run(90, dict(LINEAR, end=5), dict(COSINE, T_max=95, begin=5, end=100)),
    run(256, dict(LINEAR, end=34), dict(type='MultiStepLR', end=150, milestones=[90, 130])),
    run(30, dict(type='StepLR', step_size=10, end=20)), run(700, dict(COSINE, T_max=800)),
    iterations(dict(COSINE, end=1100, by_epoch=False))])
def test_a_difference_of_published_configs_is_a_warning(cfg):
    found = checked(cfg)
    assert not found.errors
    assert any(' ends at ' in line for line in found.warnings)


@pytest.mark.parametrize('cfg', [
    run(90, dict(type='MultiStepLR', milestones=[30, 60, 90])), run(10, dict(LINEAR, end=5)),
    run(200, dict(LINEAR, end=30), dict(COSINE, T_max=200, begin=30, end=200)),
    run(310, dict(COSINE, end=300), dict(type='ConstantLR', begin=300, end=310)),
    run(30, dict(LINEAR, end=2.5, **CONVERT), dict(COSINE, T_max=30, end=30)),
    run(10, dict(COSINE, end=490, by_epoch=False)),  # 500, within an epoch
    run(10, dict(type='StepLR', step_size=3)), run(10, dict(type='ReduceOnPlateauLR')),
    run(10, dict(type='ConstantLR', factor=.1, end=2)), run(10),
    iterations(dict(COSINE, end=1000, by_epoch=False))])
def test_the_same_end_passes(cfg):
    found = checked(cfg)
    assert not found.errors and not found.warnings


def test_the_check_of_train_py(tmp_path):
    cfg = Config.fromfile(write_mae(tmp_path))
    cfg.merge_from_dict(dict(launcher='none', work_dir=str(tmp_path / 'run')))
    assert not check_config(cfg).errors
    cfg.param_scheduler = [dict(COSINE, end=4)]
    line, = check_config(cfg).errors
    assert '--epochs 1 fits all schedules to the run' in line
