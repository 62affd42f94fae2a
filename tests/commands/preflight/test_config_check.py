"""The check of fine-tuning configs: what it must let pass, as training would, and what not."""
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tests.configs.test_imagenet_configs import data, load, shrink  # noqa: F401
from vicmae_mm.commands.preflight import check_config

MISSING = 'model.backbone.init_cfg.checkpoint'


@pytest.fixture
def config(data, tmp_path) -> Config:  # noqa: F811
    cfg = shrink(load('finetune_vit-b16'), data, tmp_path / 'run')
    cfg.train_cfg.max_epochs = 100  # that of the schedules
    cfg.launcher = 'none'
    return cfg


@pytest.fixture
def finetuned(config, tmp_path) -> Path:
    """A checkpoint of training that the config's model fits."""
    from mmengine.runner import Runner
    cfg = config.copy()
    cfg.merge_from_dict({'work_dir': str(tmp_path / 'before'), 'experiment_name': tmp_path.name,
                         'train_cfg.max_epochs': 1})
    Runner.from_cfg(cfg).train()
    return tmp_path / 'before/epoch_1.pth'


def test_load_from_and_resume_need_no_file_of_init_cfg(config, finetuned):
    config.merge_from_dict({MISSING: 'nowhere/epoch_800.pth'})
    errors = check_config(config).errors
    assert len(errors) == 1 and 'nowhere/epoch_800.pth' in errors[0]
    config.load_from = str(finetuned)
    assert check_config(config).errors == []
    config.merge_from_dict({'load_from': None, 'resume': str(finetuned)})
    assert check_config(config).errors == []


def test_a_damaged_load_from_is_an_error(config, tmp_path):
    config.load_from = str(tmp_path / 'damaged.pth')
    torch.save(dict(state_dict={}), config.load_from)
    Path(config.load_from).write_bytes(Path(config.load_from).read_bytes()[:-40])
    errors = check_config(config).errors
    assert errors and 'damaged.pth' in errors[0]


def test_the_visualization_hook_of_mmpretrain_passes(config):
    config.default_hooks.visualization = dict(type='VisualizationHook', enable=True)
    assert check_config(config).errors == []


def test_a_config_over_one_of_mmpretrain_passes(data, tmp_path):  # noqa: F811
    path = tmp_path / 'mae.py'
    path.write_text(f"""
_base_ = 'mmpretrain::mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py'
custom_imports = dict(imports=['vicmae_mm'])
optim_wrapper = dict(type='OptimWrapper')
arch = dict(
    _delete_=True, embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
model = dict(
    backbone=dict(arch=arch, img_size=32, patch_size=8),
    neck=dict(num_patches=16, patch_size=8, embed_dim=32, decoder_embed_dim=16, decoder_depth=1,
              decoder_num_heads=2),
    head=dict(patch_size=8))
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(
    _delete_=True, type='CustomDataset', data_root={str(data)!r}, data_prefix='train',
    with_label=False, pipeline=[
        dict(type='LoadImageFromFile'), dict(type='Resize', scale=32), dict(type='PackInputs')]))
""")
    config = Config.fromfile(path)
    config.optim_wrapper.pop('loss_scale')
    config.merge_from_dict({'work_dir': str(tmp_path / 'run'), 'launcher': 'none'})
    assert config.train_dataloader.collate_fn._scope_ == 'mmpretrain'
    assert check_config(config).errors == []


def test_a_single_class_is_refused(config, data, tmp_path):  # noqa: F811
    for split in ('train', 'val'):
        first = sorted((data / split).iterdir())[0]
        shutil.copytree(first, tmp_path / 'one' / split / first.name)
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.batch_size = 2
        loader.dataset.data_root = str(tmp_path / 'one')
    config.merge_from_dict({'model.head.num_classes': 1, 'data_preprocessor.num_classes': 1})
    errors = check_config(config).errors
    assert any('single class' in error for error in errors), errors
