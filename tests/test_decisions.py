"""Every option that docs/decisions.md names trains."""
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from tests.configs.test_configs import CONFIGS
from tests.configs.test_imagenet_configs import KINDS
from tests.configs.test_kinetics_configs import TRAINED
from tests.configs.test_mixing_configs import IMAGE_ENCODERS
from tests.conftest import REPO
from tests.helpers.models import WIDTH, shrink, tiny_vicmae
from tests.helpers.runs import tiny_runner
from tests.helpers.videos import make_video
from tests.models.necks import test_attentive_pooling as attentive
from vicmae_mm.engine.hooks.contrast_weight_hook import SCHEDULES
from vicmae_mm.models.heads.info_nce_head import NEGATIVES
from vicmae_mm.models.heads.vicreg_head import REDUCTIONS
from vicmae_mm.models.necks.projector import VARIANTS
from vicmae_mm.models.necks.token_pooling import MODES

PROJECTOR = dict(type='vicmae_mm.Projector', in_channels=WIDTH)
PREDICTOR = dict(
    type='mmpretrain.NonLinearNeck', hid_channels=16, with_avg_pool=False, with_last_bn=False,
    with_last_bias=True, norm_cfg=dict(type='vicmae_mm.SyncBN1d'))


def simsiam(width: int) -> dict:
    return dict(_delete_=True, type='vicmae_mm.SimSiamHead',
                predictor=dict(PREDICTOR, in_channels=width, out_channels=width))


def vicreg(**settings: Any) -> dict:
    return dict(contrast_head=dict(_delete_=True, type='vicmae_mm.VICRegHead', **settings))


def variant(name: str) -> dict:
    return dict(projector=dict(variant=name))


# What tests/configs trains a step of, below configs/
TRAINED_CONFIGS = [
    *map(str, CONFIGS), *(f'transfer/imagenet/{name}.py' for name in KINDS),
    *(f'transfer/kinetics400/{name}' for name in (*TRAINED, *IMAGE_ENCODERS)),
    *(f'transfer/table3/{path.name}' for path in (REPO / 'configs/transfer/table3').glob('*.py'))]

# The model's settings for each option, with every value that it has or a range; of others, a
# function that trains it; of a name of configs, the pattern of those that tests/configs trains.
OPTIONS: dict[str, list[dict] | str | Callable] = {
    'backbone.mask_ratio': [dict(backbone=dict(mask_ratio=ratio)) for ratio in (.25, .5, .75, .9)],
    'vicmae-official_*': 'vicmae-official_*',
    'head.norm_pix': [dict(head=dict(norm_pix=value)) for value in (True, False)],
    "recon_frames='both'": [dict(recon_frames='both')],
    "'first'": [dict(recon_frames='first')],
    "'random'": [dict(recon_frames='random')],
    'recon_weight': [dict(recon_weight=weight) for weight in (0.97, 1., 2.)],
    'contrast_weight': [dict(contrast_weight=weight) for weight in (0., 0.03, 1.)],
    'ContrastWeightHook': lambda folder: train_schedules(folder),
    'symmetric': [dict(contrast_head=dict(symmetric=value)) for value in (True, False)],
    'negatives': [dict(contrast_head=dict(negatives=value)) for value in NEGATIVES],
    'target_projector': [
        dict(variant(v), target_projector=dict(PROJECTOR, variant=v))
        for v in ('default', 'section3.3', 'appendixA')],
    "variant='section3.3'": [variant('section3.3')],
    "'appendixA'": [variant('appendixA')],
    "'official'": [variant('official')],
    'SyncBN1d': [dict(projector=dict(norm_cfg=dict(type='vicmae_mm.SyncBN1d')))],
    "norm_cfg=dict(type='BN1d')": [dict(projector=dict(norm_cfg=dict(type='BN1d')))],
    'joint_bn': [dict(joint_bn=True)],
    'gather': [dict(contrast_head=dict(gather=value)) for value in (True, False)],
    'same_video': lambda folder: train_identities(same_video='left_out'),
    'across_sources': lambda folder: train_identities(across_sources=False),
    'pooling.mode': [dict(pooling=dict(mode=mode)) for mode in MODES],
    'target_generator': 'ablations/target_hog.py',  # mmpretrain's are for 14 x 14 patches
    'ablations/target_hog.py': 'ablations/target_hog.py',
    'share_random_params': lambda folder: train_pipeline(folder, dict(share_random_params=True)),
    'RandomCropFlip': 'ablations/table6_color-spatial.py',
    "backend='pillow'": lambda folder: train_pipeline(folder, dict(backend='pillow')),
    "backend='cv2'": 'ablations/table6_color-spatial_packed.py',
    'num_frames=1': lambda folder: train_pipeline(folder, frames=1),
    'normalize': [vicreg(normalize=True)],
    "reduction='paper'": [vicreg(reduction=value, normalize=True) for value in REDUCTIONS],
    'contrast_head.predictor': [
        vicreg(predictor=dict(PREDICTOR, in_channels=2 * WIDTH, out_channels=2 * WIDTH))],
    'mae-vicreg-predictor_*': 'baselines/mae-vicreg-predictor_*',
    'attentive_*': 'transfer/imagenet/attentive_*',
    "out_type='raw'": lambda _: attentive.test_after_other_backbones('class token'),
    'attentive_vit-b16_16x4.py': 'transfer/kinetics400/attentive_vit-b16_16x4.py',
    'attentive_vit-b16_1x1x8.py': 'transfer/kinetics400/attentive_vit-b16_1x1x8.py',
    '_mae': 'transfer/imagenet/finetune_*_mae.py',
    '_literal': 'transfer/imagenet/finetune_*_literal.py',
    '_lars': 'transfer/imagenet/linear_*_lars.py',
    'vicmae-v3_*': 'vicmae-v3_*',
    'weights': lambda folder: train_mix(folder),
    'max_gap=63': lambda folder: train_pipeline(folder, max_gap=63),
    'max_gap_seconds=2.1': lambda folder: train_pipeline(folder, max_gap_seconds=2.1),
    'configs/transfer/table3/': 'transfer/table3/*.py',
    'finetune-videomae_*': 'transfer/kinetics400/finetune-videomae_*',
}
# Readings that rows offer without the name of an option
READINGS = {
    15: [dict(pooling=dict(mode='gem', p=p, p_trainable=learned))
         for p in (1., 3., 8.) for learned in (True, False)],
    9: [dict(contrast_head=dict(temperature=0.07))],
    11: [variant(name) for name in VARIANTS],
    31: [dict(pooling=dict(mode='cls'), projector=None, contrast_head=simsiam(WIDTH)),
         dict(pooling=dict(mode='cls'), projector=dict(variant='simsiam', out_channels=32),
              contrast_head=simsiam(32))],
}


def named_options() -> Iterator[str]:
    for row in re.findall(r'^\| \d+ \|.*$', (REPO / 'docs/decisions.md').read_text(), re.M):
        yield from re.findall(r'`([^`]+)`', row)


def train_identities(**options: Any) -> None:
    train_step(dict(contrast_head=options), [
        DataSample(metainfo=dict(video_id=video, source=source, sources=('a', 'b')))
        for video, source in ((1, 'a'), (1, 'b'), (2, 'a'), (3, 'b'))])


def train_step(overrides: dict, samples: list[DataSample] | None = None) -> None:
    """One step after which everything that gets a gradient has moved, the encoder too."""
    model = tiny_vicmae(**overrides)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses = model.loss([torch.randn(4, 3, 32, 32) for _ in range(2)], samples)
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    optimizer.step()
    assert all(bool(value.isfinite()) for value in losses.values())
    assert ('loss_contrast' in losses) == (overrides.get('contrast_weight') != 0)
    moved = {name for name, p in model.named_parameters() if not torch.equal(before[name], p)}
    assert 'backbone.patch_embed.projection.weight' in moved
    projector = [name for name in before if name.startswith('projector.fc')]
    assert ('loss_contrast' not in losses) or moved.issuperset(
        name for name in projector if name.endswith('weight'))


def train_schedules(folder: Any) -> None:
    for schedule in SCHEDULES:
        hook = dict(type='vicmae_mm.ContrastWeightHook', schedule=schedule, begin=1, ramp_epochs=1)
        runner = tiny_runner(folder / schedule, [hook], epochs=2)
        runner.train()
        weight = runner.message_hub.get_scalar('train/contrast_weight')
        assert weight.current() == pytest.approx(0.025)
        assert weight.min(4) == pytest.approx(0.025 if schedule == 'constant' else 0)


def train_pipeline(folder: Any, crop: Any = None, frames: int = 2, **sampling: Any) -> None:
    """The options of the pipeline: a step on videos."""
    (folder / 'videos').mkdir()
    for index in range(4):
        make_video(folder / f'videos/{index}.mp4', num_frames=12)
    name = 'vicmae_vit-b16_k400.py' if frames == 2 else 'baselines/mae_vit-b16_k400.py'
    cfg = shrink(Config.fromfile(REPO / 'configs' / name), folder / 'videos', folder / 'run')
    steps = {step.type.split('.')[-1]: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps['SampleFramePair'].get('num_frames', 2) == frames
    steps['RandomCropFlip'].update(crop or {})
    steps['SampleFramePair'].update(sampling)
    cfg.experiment_name = str(folder).replace('/', '_')
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.message_hub.get_scalar('train/loss').current() > 0


def train_mix(folder: Any) -> None:
    """A step on twice as many images as videos."""
    (folder / 'videos').mkdir()
    for index in range(4):
        make_video(folder / f'videos/{index}.mp4', num_frames=12)
    cfg = shrink(Config.fromfile(REPO / 'configs/vicmae-v3_vit-b16_in1k-k400.py'),
                 folder / 'videos', folder / 'run')
    cfg.train_dataloader.dataset.update(weights=dict(in1k=2, k400=1), epoch_length=12)
    cfg.experiment_name = str(folder).replace('/', '_')
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.message_hub.get_scalar('train/loss').current() > 0


def test_every_named_option_is_known():
    named = set(named_options())
    assert len(named) > 25
    assert not named - OPTIONS.keys(), 'add them to OPTIONS, with what trains them'
    assert not OPTIONS.keys() - named, 'no row names them any more'


@pytest.mark.parametrize('option', OPTIONS)
def test_option_trains(option, tmp_path):
    way = OPTIONS[option]
    if isinstance(way, str):
        paths = {str(path.relative_to(REPO / 'configs')) for path in (REPO / 'configs').glob(way)}
        assert paths & set(TRAINED_CONFIGS), f'no config {way} is trained in tests/configs'
    elif callable(way):
        way(tmp_path)
    else:
        for overrides in way:
            train_step(overrides)


@pytest.mark.parametrize('row', READINGS)
def test_reading_trains(row):
    for overrides in READINGS[row]:
        train_step(overrides)
