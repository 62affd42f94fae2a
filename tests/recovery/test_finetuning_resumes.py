"""Configs of fine-tuning and probes, interrupted and resumed: the same curve, bit by bit."""
import random
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from tests.configs.test_imagenet_configs import NUM_CLASSES
from tests.configs.test_imagenet_configs import shrink as shrink_images
from tests.conftest import REPO
from tests.helpers.classifiers import write_photos
from tests.helpers.clip_configs import shrink_clips, write_pretrained, write_videos

from .test_kill_and_resume import assert_identical

EPOCHS = 2
# Mixup, CutMix, drop path, RandAugment, random erasing; two clips of each video; a frozen encoder
CONFIGS = ['imagenet/finetune_vit-b16', 'kinetics400/finetune_vit-b16_16x4',
           'kinetics400/attentive_vit-b16_16x4']


class Losses(Hook):
    """Record each step; be interrupted before one of them."""

    priority = 'HIGHEST'

    def __init__(self, stop: int = -1) -> None:
        self.stop = stop
        self.seen: dict[int, str] = {}

    def before_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        if runner.iter == self.stop:
            raise KeyboardInterrupt

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        self.seen[runner.iter] = float(outputs['loss'].detach()).hex()


@pytest.fixture(scope='module')
def prepare(tmp_path_factory) -> dict:
    """Functions that make a config tiny, by its name."""
    photos, clips = (tmp_path_factory.mktemp(name) for name in ('photos', 'clips'))
    for split, count in (('train', 5), ('val', 1)):
        write_photos(photos / split, NUM_CLASSES, count)
    write_pretrained(photos)
    videos = write_videos(clips, 14)
    shrink = partial(shrink_clips, videos=videos, pretrained=write_pretrained(clips))
    return dict(zip(CONFIGS, (partial(shrink_images, data=photos), shrink, shrink), strict=True))


def train(name: str, prepare: dict, work_dir: Path, stop: int = -1, **settings: Any) -> dict:
    """Train a tiny copy of a config on four batches an epoch; the losses."""
    scope = 'mmpretrain' if name.startswith('imagenet') else 'mmaction'
    cfg = prepare[name](Config.fromfile(REPO / f'configs/transfer/{name}.py'), work_dir=work_dir)
    *warmup, cosine = cfg.param_scheduler
    for each in warmup:
        each.update(start_factor=0.1, end=1)
    cosine.update(begin=len(warmup), end=EPOCHS, T_max=EPOCHS - len(warmup))
    cfg.train_cfg.max_epochs = EPOCHS
    cfg.default_hooks.checkpoint.update(interval=1, mid_epoch_interval=2, save_best=None)
    cfg.custom_hooks = [dict(type='EMAHook')]
    cfg.merge_from_dict(settings)
    losses = Losses(stop)
    # Other numbers than those of the run before, as in a new process.
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(stop + 2)
    with DefaultScope.overwrite_default_scope(scope), patch.object(Runner, '_log_env'):
        runner = Runner.from_cfg(cfg)
        runner.register_hook(losses)
        try:
            runner.train()
        except KeyboardInterrupt:
            assert runner.iter == stop
    return losses.seen


def final_state(work_dir: Path) -> dict:
    checkpoint = torch.load(work_dir / f'epoch_{EPOCHS}.pth', weights_only=True)
    return {key: checkpoint[key]
            for key in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')}


@pytest.mark.parametrize('name', CONFIGS)
def test_the_same_curve(name, prepare, tmp_path):
    whole = train(name, prepare, tmp_path / 'whole')
    length = len(whole) // EPOCHS
    assert length > 2 and len(set(whole.values())) > 2
    stops = [(3, 2), (length, length)] if name == CONFIGS[0] else [(3, 2)]
    for stop, saved in stops:  # within an epoch, at the end of one
        work_dir = tmp_path / str(stop)
        begun = train(name, prepare, work_dir, stop)
        resumed = train(name, prepare, work_dir, resume='auto', **{
            'train_dataloader.num_workers': 1 if stop == 3 else 0})
        assert begun == {step: whole[step] for step in range(stop)}
        assert resumed == {step: whole[step] for step in range(saved, len(whole))}
        assert_identical(final_state(work_dir), final_state(tmp_path / 'whole'))


def test_the_samplers_of_mmengine_would_not_do(prepare, tmp_path):
    stock = {'train_dataloader.sampler': dict(type='DefaultSampler', shuffle=True, _delete_=True)}
    whole = train(CONFIGS[0], prepare, tmp_path / 'whole', **stock)
    stop = len(whole) // EPOCHS
    train(CONFIGS[0], prepare, tmp_path / 'on', stop, **stock)
    resumed = train(CONFIGS[0], prepare, tmp_path / 'on', resume='auto', **stock)
    assert list(resumed) == list(range(stop, len(whole)))
    assert resumed != {step: whole[step] for step in resumed}
