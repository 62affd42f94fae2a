"""Keys that nothing reads are errors; variables of configs, ours and stock ones, are not."""
import os
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.utils import get_installed_path

from tests.configs.test_verdicts import IMAGES, OURS
from tests.conftest import REPO
from vicmae_mm.commands.preflight.findings import Findings
from vicmae_mm.commands.preflight.unknown_keys import check_keys

BASE = str(REPO / 'configs/transfer/kinetics400/finetune_vit-b16_16x4.py')
STOCK = [Path(get_installed_path(name)) / '.mim/configs' for name in ('mmpretrain', 'mmaction2')]


def check(cfg: Config, *options: str) -> Findings:
    cfg.merge_from_dict({option: 1 for option in options})
    findings = Findings()
    check_keys(cfg, Runner, options, findings)
    return findings


@pytest.fixture
def child(tmp_path):
    """A config over one of ours, with lines of its own."""

    def write(lines: str) -> Config:
        (tmp_path / 'child.py').write_text(f'_base_ = {BASE!r}\n{lines}\n')
        return Config.fromfile(tmp_path / 'child.py')

    return write


@pytest.mark.parametrize('lines, words', [
    ('train_dataloder = dict(batch_size=2)', 'train_dataloder is not a setting; did you mean'),
    ('optim_wraper = dict(lr=1)', 'did you mean optim_wrapper?'),
    ('param_schedular = []', 'did you mean param_scheduler?'),
    ('resum = True', 'did you mean resume?'), ('modle = dict()', 'did you mean model?'),
    ('img_size = 96', 'did you mean image_size?'),
    ("lr_config = dict(policy='step')", 'child.py: nothing reads lr_config after it is set there'),
    # It changes nothing: the base has built its dataloader before.
    ('train_pipeline = [dict()]', 'nothing reads train_pipeline after it is set there'),
    ('default_hooks = dict(checkpont=dict(interval=2))', 'did you mean checkpoint?'),
    ("default_hooks = dict(checkpont=dict(type='CheckpointHook'))", 'did you mean checkpoint?'),
    ('default_hooks = dict(finite_los=None)', 'did you mean finite_loss?'),
    ('default_hooks = dict(finite_los=3)', 'did you mean finite_loss?'),
    ('env_cfg = dict(cudnn_benchmrk=True)', 'did you mean cudnn_benchmark?'),
    ('env_cfg = dict(threads=2)', 'env_cfg.threads is not a setting (if it is intended'),
    ('auto_scale_lr = dict(enabled=True)', 'did you mean enable?'),
    ('optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mul=0))', 'mean norm_decay_mult?'),
    ('model = dict(test_cfg=dict(max_testing_view=7))', 'did you mean max_testing_views?')])
def test_a_key_that_nothing_reads(lines, words, child):
    error, = check(child(lines)).errors
    assert words in error and '--cfg-options allow_unknown=' in error


@pytest.mark.parametrize('lines', [
    'threads = 2', 'auto_scale_lr = True', 'default_hooks = dict(finite_loss=None)',
    "my = dict()\nallow_unknown = ['my']", 'my = dict(batch_size=2)\ntrain_dataloader = my',
    "default_hooks = dict(checkpoint_fit2=dict(type='vicmae_mm.CheckpointFitHook'))"])
def test_variables_and_other_hooks_pass(lines, child):
    found = check(child(lines))
    assert not found.errors and not found.warnings


def test_options(child, tmp_path):
    error, = check(child(''), 'train_pipeline').errors
    assert 'variables are resolved while the file is read' in error
    assert 'did you mean work_dir?' in check(child(''), 'workdir').errors[0]
    fine = ['work_dir', 'auto_scale_lr.enable', 'model.backbone.drop_path_rate',
            'train_dataloader.batch_size', 'train_dataloader.dataset.data_prefix.video']
    found = check(child(''), *fine)
    assert not found.errors and not found.warnings
    warning, = check(child(''), 'train_dataloader.dataset.data_prefix.vidoe').warnings
    assert 'did you mean train_dataloader.dataset.data_prefix.video?' in warning


def test_arguments_are_no_misspellings_of_others():
    pretraining = str(REPO / 'configs/vicmae_vit-b16_k400.py')
    found = check(Config.fromfile(pretraining), 'default_hooks.checkpoint.save_best')
    assert not found.errors and not found.warnings
    # CheckpointHook takes any argument without a word.
    warning, = check(Config.fromfile(pretraining), 'default_hooks.checkpoint.save_lst').warnings
    assert 'did you mean default_hooks.checkpoint.save_last?' in warning


def test_the_copy_of_a_config_in_the_work_dir_passes(child, tmp_path):
    cfg = child('')
    cfg.dump(tmp_path / 'dumped.py')
    assert not check(Config.fromfile(tmp_path / 'dumped.py')).errors


def stock() -> list[str]:
    if os.environ.get('VICMAE_ALL_CONFIGS') != '1':
        return [str(STOCK[0] / name) for name in IMAGES[::4]]
    return [str(path) for root in STOCK for path in root.rglob('*.py')
            if '_base_' not in path.parts]


@pytest.mark.parametrize('path', [str(REPO / 'configs' / name) for name in OURS[::6]] + stock())
def test_configs_pass(path):
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # needs another library, or is none
        if path.startswith(str(REPO)):
            raise
        pytest.skip(str(error))
    found = check(cfg)
    assert not found.errors
    assert 'mmpretrain' in path or 'mmaction' in path or not found.warnings
