"""One setting changes the size of the images for the backbone, the decoder and all pipelines."""
import re
from argparse import Namespace

import numpy as np
import pytest
from mmengine.config import Config
from mmpretrain.registry import TRANSFORMS

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


def pipelines(node):
    """Those of a dataset, or of several that are mixed."""
    if not isinstance(node, dict):
        return []
    return [value if key == 'pipeline' else pipelines(value) for key, value in node.items()]


def numbers(cfg: Config) -> list[set[str]]:
    return [{*re.findall(r'\b\d+\b', str([pipelines(cfg[name])]))} for name in LOADERS
            if cfg.get(name)]


@pytest.mark.parametrize('name', [
    *[name for name in OURS if 'vit' in name][::3], 'quickstart/vicmae.py',
    'contrastive_swin-t_k400.py', 'ablations/table6_color.py'])
def test_every_part_of_a_config_has_the_size(name):
    cfg = load(name, 96)
    cfg.image_size = size = 96 - 96 % cfg.model.backbone.get('patch_size', 1)
    old = str(cfg.model.backbone.img_size)
    set_image_size(cfg)
    assert cfg.model.backbone.img_size == size
    if cfg.model.get('decoder'):
        assert cfg.model.decoder.num_patches == (size // cfg.model.backbone.patch_size)**2
    for found in numbers(cfg):
        assert str(size) in found and not {old, '256'} & found
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
    ('vicmae_vit-b16_k400.py', [96, 100], 'multiple of the 16 pixels'),
    ('vicmae_vit-b16_k400.py', '96x', 'as in 128x256'),
    ('vicmae_vit-b16_k400.py', [96, 96, 96], 'as in 128x256'),
    ('ablations/table6_color.py', '96x128', r'mmpretrain\.ResizeEdge has scale=256'),
    ('transfer/imagenet/finetune_vit-b16.py', '96x128', 'is a rectangle .*ResizeEdge'),
    ('transfer/kinetics400/finetune_vit-b16_16x4.py', [96, 128], r'Resize has scale=\(-1, 256\)'),
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


@pytest.mark.parametrize('size', ['96x128', [96, 128], (96, 128)])
def test_rectangles(size):
    cfg = load('vicmae_vit-b16_k400.py', size)
    set_image_size(cfg)
    assert cfg.model.backbone.img_size == (96, 128) and cfg.model.decoder.num_patches == (6, 8)
    assert "'scale': (96, 128)" in str(cfg.train_dataloader.dataset.pipeline)
    before = cfg.pretty_text
    set_image_size(cfg)
    assert cfg.pretty_text == before
    cfg.image_size = 96  # over a rectangle
    set_image_size(cfg)
    assert cfg.model.backbone.img_size == 96 and cfg.model.decoder.num_patches == 36
    assert '128' not in str(cfg.train_dataloader) + str(cfg.model)


def test_a_random_crop_has_the_height_first():
    crop = TRANSFORMS.build(dict(type='mmpretrain.RandomResizedCrop', scale=(96, 128)))
    assert crop(dict(img=np.zeros((200, 200, 3), np.uint8)))['img'].shape == (96, 128, 3)
