"""The config check says of a config what its real start says: it trains a step, or it is refused.

``VICMAE_ALL_CONFIGS=1`` compares all shipped configs and 30 each of mmpretrain's and mmaction2's.
"""
import copy
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.utils import get_installed_path

from tests.configs.test_imagenet_configs import data  # noqa: F401  (a fixture)
from tests.configs.test_imagenet_configs import shrink as shrink_photos
from tests.conftest import REPO
from tests.helpers.clip_configs import shrink_clips, write_pretrained, write_videos
from tests.helpers.models import shrink
from vicmae_mm.commands.preflight import check_config

OURS = sorted(str(path.relative_to(REPO / 'configs')) for path in (REPO / 'configs').rglob('*.py')
              if '_base_' not in path.parts)
IMAGES = [  # of mmpretrain: every task and kind of network that trains on single images
    'barlowtwins/barlowtwins_resnet50_8xb256-coslr-300e_in1k.py',
    'beit/beit_beit-base-p16_8xb256-amp-coslr-300e_in1k.py',
    'byol/byol_resnet50_16xb256-coslr-200e_in1k.py', 'conformer/conformer-tiny-p16_8xb128_in1k.py',
    'convmixer/convmixer-768-32_10xb64_in1k.py', 'convnext/convnext-tiny_32xb128_in1k.py',
    'cspnet/cspresnet50_8xb32_in1k.py', 'davit/davit-tiny_4xb256_in1k.py',
    'deit/deit-tiny_4xb256_in1k.py', 'densenet/densenet121_4xb256_in1k.py',
    'edgenext/edgenext-xxsmall_8xb256_in1k.py', 'efficientnet/efficientnet-b0_8xb32_in1k.py',
    'hrnet/hrnet-w18_4xb32_in1k.py', 'inception_v3/inception-v3_8xb32_in1k.py',
    'mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py',
    'mlp_mixer/mlp-mixer-base-p16_64xb64_in1k.py',
    'mobilenet_v2/mobilenet-v2_8xb32_in1k.py', 'mobilenet_v3/mobilenet-v3-small_8xb128_in1k.py',
    'mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py',
    'mocov3/mocov3_resnet50_8xb512-amp-coslr-100e_in1k.py',
    'poolformer/poolformer-s12_32xb128_in1k.py',
    'regnet/regnetx-400mf_8xb128_in1k.py', 'resnet/resnet18_8xb32_in1k.py',
    'resnet/resnet50_8xb32-mixup_in1k.py', 'shufflenet_v2/shufflenet-v2-1x_16xb64_in1k.py',
    'simclr/simclr_resnet50_16xb256-coslr-200e_in1k.py',
    'simsiam/simsiam_resnet50_8xb32-coslr-100e_in1k.py',
    'swin_transformer/swin-tiny_16xb64_in1k.py', 'vgg/vgg11_8xb32_in1k.py',
    'vision_transformer/vit-base-p16_32xb128-mae_in1k.py']
_CLIPS = ('c2d', 'c3d', 'csn', 'i3d', 'mvit', 'r2plus1d', 'slowfast', 'slowonly', 'swin', 'tanet',
          'timesformer', 'tin', 'tpn', 'trn', 'tsm', 'tsn', 'uniformerv2')  # those that train
SAMPLE = ['vicmae_vit-b16_k400.py', 'baselines/mae_vit-b16_k400.py', 'contrastive_resnet50_k400.py',
          'transfer/kinetics400/linear_vit-b16_16x4.py', 'transfer/imagenet/finetune_vit-b16.py',
          'vicmae-v3_vit-b16_in1k-k400.py']
SAMPLE_IMAGES = ['mobilenet_v2/mobilenet-v2_8xb32_in1k.py',
                 'simsiam/simsiam_resnet50_8xb32-coslr-100e_in1k.py']
ALL = os.environ.get('VICMAE_ALL_CONFIGS') == '1'


class Done(Exception):
    """A step was taken."""


class StopHook(Hook):
    """Ends training after its first step."""

    def after_train_iter(self, *args: Any, **kwargs: Any) -> None:
        raise Done


def starts(cfg: Config) -> str:
    """What stops the real start before its first step is taken; '' for nothing."""
    scope = cfg.get('default_scope') or 'mmengine'
    try:
        with DefaultScope.overwrite_default_scope(scope):
            runner = Runner.from_cfg(cfg)
            runner.register_hook(StopHook(), priority='LOWEST')
            runner.train()
    except Done:
        return ''
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return 'it took no step'


@pytest.fixture(autouse=True)
def large_disk(monkeypatch):
    """The check refuses a full disk, which says nothing of the config."""
    usage = shutil.disk_usage
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(path)._replace(free=10 ** 13))


def compare(cfg: Config, folder: Path) -> None:
    """Check a config and start it; the verdicts must agree."""
    cfg.launcher, cfg.work_dir = 'none', str(folder / 'run')
    cfg.experiment_name = str(folder).replace('/', '_')
    plain(cfg)
    errors = check_config(copy.deepcopy(cfg)).errors
    assert not (folder / 'run').exists()
    stopped = starts(cfg)
    print(f'{cfg.filename}: check {errors or "passes"}; start {stopped or "takes a step"}')
    assert bool(errors) == bool(stopped), (errors, stopped)


def plain(cfg: Config) -> None:
    """Without a GPU, downloads and worker processes."""
    wrapper = cfg.optim_wrapper
    if wrapper.get('type', '').endswith('AmpOptimWrapper'):
        wrapper.type = 'mmengine.OptimWrapper'
        wrapper.pop('loss_scale', None)
    for split in ('train', 'val', 'test'):
        if loader := cfg.get(f'{split}_dataloader'):
            loader.update(num_workers=0, persistent_workers=False, pin_memory=False)
    pending: list[Any] = [cfg.model]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if '://' in str(node.get('init_cfg')):
                node['init_cfg'] = None
            if '://' in str(node.get('pretrained')):
                node['pretrained'] = None
        if isinstance(node, (dict, list)):
            pending.extend(node.values() if isinstance(node, dict) else node)


@pytest.fixture(scope='module')
def clips(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp('clips')
    return write_videos(folder, count=4), write_pretrained(folder)


@pytest.mark.parametrize('name', OURS if ALL else SAMPLE)
def test_ours(name, data, clips, tmp_path):  # noqa: F811
    cfg = Config.fromfile(REPO / 'configs' / name)
    epochs = cfg.train_cfg.max_epochs
    if name.startswith('transfer/imagenet/'):
        cfg = shrink_photos(cfg, data, tmp_path)
    elif not name.startswith('transfer/'):
        cfg = shrink(cfg, clips[0].parent, tmp_path / 'data')
    elif cfg.model.backbone.type == 'vicmae_mm.VideoViT':
        shrink_clips(cfg, *clips, tmp_path)
    cfg.train_cfg.max_epochs = epochs  # that of the schedules
    compare(cfg, tmp_path)  # others are refused: they lack their data


@pytest.mark.parametrize('name', IMAGES if ALL else SAMPLE_IMAGES)
def test_stock_images(name, data, tmp_path):  # noqa: F811
    cfg = Config.fromfile(f'{get_installed_path("mmpretrain")}/.mim/configs/{name}')
    for split in ('train', 'val', 'test'):
        if loader := cfg.get(f'{split}_dataloader'):
            pipeline = loader.dataset.pipeline
            loader.update(batch_size=4, dataset=dict(
                type='CustomDataset', data_root=str(data / 'train'), pipeline=pipeline))
    compare(cfg, tmp_path)


def first_configs() -> list[str]:
    root = Path(get_installed_path('mmaction2')) / '.mim/configs/recognition'
    chosen = []
    for kind in _CLIPS:
        found = sorted(path for path in (root / kind).glob('*.py')
                       if 'kinetics400' in path.name and 'rgb' in path.name)
        chosen += [str(path) for path in found[:2]]
    return chosen[:30]


@pytest.mark.skipif(not ALL, reason='VICMAE_ALL_CONFIGS is not set')
@pytest.mark.parametrize('name', first_configs(), ids=lambda path: Path(path).stem)
def test_stock_clips(name, clips, tmp_path):
    cfg = Config.fromfile(name)
    for split in ('train', 'val', 'test'):
        if loader := cfg.get(f'{split}_dataloader'):
            loader.batch_size = 1
            loader.dataset.update(
                ann_file=str(clips[0]), data_prefix=dict(video=str(clips[0].parent)))
    compare(cfg, tmp_path)
