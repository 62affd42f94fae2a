"""Fine-tuning on other video datasets: a swap of the data over the Kinetics-400 config."""
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from tests.helpers.clip_configs import shrink_clips, write_pretrained, write_videos
from tests.helpers.videos import make_video

FOLDER = Path(__file__).resolve().parents[2] / 'configs/transfer'
SOMETHING = 'sthv2/finetune_vit-b16_u16_sthv2.py'  # has pipelines of its own
ATTENTIVE = 'sthv2/attentive_vit-b16_16x4_sthv2.py'
# classes, lists as mmaction2's data preparation calls them, folders of the videos
DATASETS = {
    'kinetics600/finetune_vit-b16_16x4_k600.py': (
        600, 'kinetics600_{}_list_videos.txt', ('videos_train', 'videos_val')),
    'kinetics700/finetune_vit-b16_16x4_k700.py': (
        700, 'kinetics700_{}_list_videos.txt', ('videos_train', 'videos_val')),
    'mit/finetune_vit-b16_16x4_mit.py': (
        339, 'mit_{}_list_videos.txt', ('videos/training', 'videos/validation')),
    SOMETHING: (174, 'sthv2_{}_list_videos.txt', ('videos', 'videos')),
    'sthv2/finetune_vit-l16_u16_sthv2.py': (
        174, 'sthv2_{}_list_videos.txt', ('videos', 'videos')),
    ATTENTIVE: (174, 'sthv2_{}_list_videos.txt', ('videos', 'videos')),
    'sthv2/attentive_vit-l16_16x4_sthv2.py': (
        174, 'sthv2_{}_list_videos.txt', ('videos', 'videos')),
    'ucf101/finetune_vit-b16_16x4_ucf101.py': (
        101, 'ucf101_{}_split_1_videos.txt', ('videos', 'videos')),
    'hmdb51/finetune_vit-b16_16x4_hmdb51.py': (
        51, 'hmdb51_{}_split_1_videos.txt', ('videos', 'videos')),
}


@pytest.fixture(autouse=True)
def mmaction_scope():
    with DefaultScope.overwrite_default_scope('mmaction'):
        yield


@pytest.mark.parametrize('name', [SOMETHING, ATTENTIVE])
def test_something_something_trains_and_tests(name, tmp_path):
    cfg = shrink_clips(
        Config.fromfile(FOLDER / name), write_videos(tmp_path), write_pretrained(tmp_path),
        tmp_path / 'run')
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 1
    assert runner.message_hub.log_scalars['train/loss'].current() > 0
    assert 0 <= runner.test()['acc/top1'] <= 1


@pytest.mark.parametrize('name', DATASETS)
def test_classes_lists_and_folders(name):
    classes, lists, folders = DATASETS[name]
    cfg = Config.fromfile(FOLDER / name)
    assert cfg.model.cls_head.num_classes == classes
    blending = cfg.model.data_preprocessor.blending
    assert blending is None or blending.num_classes == classes
    for split, kind in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.data_root == f'data/{name.split("/")[0]}'
        assert dataset.ann_file == lists.format(kind)
        assert dataset.data_prefix == dict(video=folders[split != 'train'])
        assert bool(dataset.get('test_mode')) == (split != 'train')


def test_only_data_and_classes_differ_from_kinetics400():
    # whose config test_kinetics_configs.py trains
    base = Config.fromfile(FOLDER / 'kinetics400/finetune_vit-b16_16x4.py')
    for name in DATASETS:
        if name.startswith('sthv2'):
            continue
        cfg = Config.fromfile(FOLDER / name)
        for split in ('train', 'val', 'test'):
            loader, expected = cfg[f'{split}_dataloader'], base[f'{split}_dataloader']
            assert loader.dataset.pipeline == expected.dataset.pipeline
            cfg[f'{split}_dataloader'] = expected
        cfg.model.cls_head.num_classes = cfg.model.data_preprocessor.blending.num_classes = 400
        assert cfg.to_dict() == base.to_dict(), name


@pytest.mark.parametrize('name', [SOMETHING, ATTENTIVE])
def test_something_something_by_vit_l_differs_by_the_network_alone(name, tmp_path):
    cfg, base = (Config.fromfile(FOLDER / each) for each in (name.replace('b16', 'l16'), name))
    assert cfg.model.backbone.arch == 'l' and cfg.model.cls_head.in_channels == 1024
    videos, checkpoint = write_videos(tmp_path), write_pretrained(tmp_path)
    cfg, base = (shrink_clips(each, videos, checkpoint, tmp_path) for each in (cfg, base))
    assert cfg.to_dict() == base.to_dict()


def test_something_something_by_the_attentive_probe_has_2_clips_and_is_never_flipped():
    cfg, base = (Config.fromfile(FOLDER / name) for name in (
        ATTENTIVE, 'kinetics400/attentive_vit-b16_16x4.py'))
    assert 'Flip' not in str(cfg.train_pipeline) and 'Flip' in str(base.train_pipeline)
    for split in ('train', 'val', 'test'):
        pipeline = cfg[f'{split}_dataloader'].dataset.pipeline
        assert pipeline[1].pop('num_clips') == cfg.model.cls_head.num_clips == 2
        if split != 'train':
            expected = base[f'{split}_dataloader'].dataset.pipeline
            expected[1].pop('num_clips')
            assert pipeline == expected


def test_something_something_is_spread_over_the_video_and_never_flipped(tmp_path):
    cfg = Config.fromfile(FOLDER / SOMETHING)
    video = dict(filename=str(make_video(tmp_path / 'a.mp4', 97)), start_index=0, label=0)
    assert 'Flip' not in str(cfg.train_pipeline)
    for pipeline, clips in ((cfg.val_pipeline, 1), (cfg.test_pipeline, 2)):
        frame_inds = Compose(pipeline[:2])(dict(video))['frame_inds'].reshape(clips, 16)
        assert (np.diff(frame_inds) == 6).all()  # 96 / 16
    for sample in Compose([cfg.train_pipeline[0], dict(cfg.train_pipeline[1], transforms=[])])(
            dict(video)):
        segments = np.arange(17) * 6
        assert (segments[:-1] <= sample['frame_inds']).all()
        assert (sample['frame_inds'] <= segments[1:]).all()
