"""One setting changes the size of the images for the backbone, the decoder and all pipelines."""
import re
from argparse import Namespace

import pytest
from mmengine.config import Config

from tests.configs.test_verdicts import OURS
from tests.conftest import REPO
from vicmae_mm.commands.image_size import set_image_size
from vicmae_mm.commands.options import merge_options
from vicmae_mm.utils.errors import InputError

LOADERS = 'train_dataloader', 'val_dataloader', 'test_dataloader'


def load(name: str, size: object) -> Config:
    cfg = Config.fromfile(REPO / 'configs' / name)
    cfg.image_size = size
    return cfg


def numbers(cfg: Config) -> list[set[str]]:
    return [{*re.findall(r'\b\d+\b', str(cfg[name].dataset.pipeline))} for name in LOADERS
            if cfg.get(name)]


@pytest.mark.parametrize('name', [
    *[name for name in OURS if 'vit' in name][::3], 'quickstart/vicmae.py',
    'contrastive_swin-t_k400.py', 'ablations/table6_color.py'])
def test_every_part_of_a_config_has_the_size(name):
    cfg = load(name, 96)
    old = str(cfg.model.backbone.img_size)
    set_image_size(cfg)
    assert cfg.model.backbone.img_size == 96
    if cfg.model.get('decoder'):
        assert cfg.model.decoder.num_patches == (96 // cfg.model.backbone.patch_size)**2
    for found in numbers(cfg):
        assert '96' in found and not {old, '256'} & found
    before = cfg.pretty_text
    set_image_size(cfg)  # of the copy in the work dir
    assert cfg.pretty_text == before


def test_the_short_side_before_the_crop_keeps_its_share():
    cfg = load('transfer/imagenet/finetune_vit-b16.py', 112)
    set_image_size(cfg)
    assert [step.get('scale') or step.get('crop_size') for step in
            cfg.val_dataloader.dataset.pipeline[1:3]] == [128, 112]
    cfg = load('transfer/kinetics400/finetune_vit-b16_16x4.py', 112)
    set_image_size(cfg)
    assert tuple(cfg.train_dataloader.dataset.pipeline[1].transforms[0].scale) == (-1, 128)


@pytest.mark.parametrize('name, size, words', [
    ('vicmae_vit-b16_k400.py', 100, 'multiple of the 16 pixels'),
    ('vicmae_vit-b16_k400.py', 0, 'multiple of the 16 pixels'),
    ('vicmae_vit-b16_k400.py', [96, 96], 'multiple of the 16 pixels'),
    ('contrastive_resnet50_k400.py', 96, 'needs a config whose model.backbone has an img_size')])
def test_other_sizes_are_refused(name, size, words):
    with pytest.raises(InputError, match=words):
        set_image_size(load(name, size))


def test_other_options_are_final():
    cfg = Config.fromfile(REPO / 'configs/transfer/imagenet/finetune_vit-b16.py')
    merge_options(cfg, Namespace(
        local_rank=0, launcher='none', config='a.py', work_dir=None, no_pin_memory=False,
        no_persistent_workers=False, cfg_options={
            'image_size': '96', 'val_dataloader.dataset.pipeline.1.scale': '100'}), [])
    assert cfg.val_dataloader.dataset.pipeline[1].scale == 100
    assert cfg.val_dataloader.dataset.pipeline[2].crop_size == 96


def test_a_variable_of_a_stock_config_is_none():
    cfg = Config(dict(model=dict(type='Llava'), image_size=336),
                 cfg_text='image_size = 336\nscale = image_size')
    set_image_size(cfg)
    assert cfg.image_size == 336
