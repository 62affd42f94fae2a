"""mmaction2's own videos, transforms and data preprocessor under our contrast."""
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from tests.helpers.clip_configs import write_videos
from tests.helpers.models import IMG_SIZE
from vicmae_mm.commands.preflight import check_config

NORMAL = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
ACTION = dict(type='mmaction.ActionDataPreprocessor', **NORMAL)
OURS = dict(type='vicmae_mm.PairDataPreprocessor', **NORMAL)
COLLATE = dict(type='default_collate')


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> Path:
    return write_videos(tmp_path_factory.mktemp('videos'), count=4, num_frames=12)


def stock_config(videos: Path, work_dir: Path, preprocessor: dict, num_clips: int = 2,
                 batch_size: int = 4, **loader: dict) -> Config:
    return Config(dict(
        default_scope='mmaction', work_dir=str(work_dir), launcher='none',
        custom_imports=dict(imports=['vicmae_mm'], allow_failed_imports=False),
        experiment_name=str(work_dir).replace('/', '_'), randomness=dict(seed=0),
        model=dict(
            type='vicmae_mm.ViCMAE', data_preprocessor=preprocessor,
            backbone=dict(type='mmaction.ResNet', depth=18, norm_eval=False),
            pooling=dict(type='mmpretrain.GlobalAveragePooling'),
            projector=dict(type='vicmae_mm.Projector', in_channels=512, variant='official'),
            contrast_head=dict(type='vicmae_mm.InfoNCEHead'), contrast_weight=1.0),
        train_dataloader=dict(
            batch_size=batch_size, num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True), **loader,
            dataset=dict(
                type='VideoDataset', ann_file=str(videos),
                data_prefix=dict(video=str(videos.parent)), pipeline=[
                    dict(type='OpenCVInit'),
                    dict(type='SampleFrames', clip_len=1, num_clips=num_clips),
                    dict(type='OpenCVDecode'),
                    dict(type='Resize', scale=(IMG_SIZE, IMG_SIZE), keep_ratio=False),
                    dict(type='FormatShape', input_format='NCHW'),
                    dict(type='PackActionInputs')])),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
        default_hooks=dict(checkpoint=None)))


@pytest.mark.parametrize('preprocessor, loader', [(ACTION, {}), (OURS, dict(collate_fn=COLLATE))])
def test_stock_pipeline_contrasts_the_pairs_of_each_video(
        preprocessor, loader, videos, tmp_path):
    cfg = stock_config(videos, tmp_path, preprocessor, **loader)
    assert not check_config(cfg).errors
    runner = Runner.from_cfg(cfg)
    seen = []
    runner.model.register_forward_pre_hook(
        lambda model, args, kwargs: seen.append(kwargs['inputs']), with_kwargs=True)
    runner.train()
    inputs, = seen
    views = inputs if isinstance(inputs, list) else inputs.unbind(1)
    wanted = runner.model.loss(list(views))['contrast']
    got = runner.message_hub.get_scalar('train/contrast').current()
    # the same weights (a learning rate of 0) on the same frames
    assert got == float(wanted)


@pytest.mark.parametrize('preprocessor, settings, message', [
    (ACTION, dict(num_clips=1), 'num_frames=2'),
    (ACTION, dict(num_clips=3), 'three images or a clip'),
    (ACTION, dict(num_clips=5), 'num_frames=2'),
    (OURS, {}, 'default_collate'),  # mmengine's pseudo_collate: one tensor per video
    (OURS, dict(batch_size=2), 'default_collate'),
    (dict(ACTION, format_shape='NCTHW'), {}, ''),
])
def test_what_cannot_be_contrasted_is_refused_before_training(
        preprocessor, settings, message, videos, tmp_path):
    errors = check_config(stock_config(videos, tmp_path, preprocessor, **settings)).errors
    assert errors and message in errors[0]


@pytest.mark.parametrize('preprocessor, loader', [(ACTION, {}), (OURS, dict(collate_fn=COLLATE))])
def test_negatives_are_counted_by_the_pairs_of_a_stacked_sample(
        preprocessor, loader, videos, tmp_path):
    cfg = stock_config(videos, tmp_path, preprocessor, num_clips=4, **loader)
    found = check_config(cfg)
    assert not found.errors
    assert any('12 negatives per frame, from 4 samples' in note for note in found.notes)
