"""Every pre-training config builds and trains one step on real (tiny) videos."""
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from tests.helpers.models import shrink
from tests.helpers.videos import make_video
from vicmae_mm.models import ViCMAEViT

REPO = Path(__file__).resolve().parents[2]
CONFIGS = sorted(
    path.relative_to(REPO / 'configs') for path in (REPO / 'configs').rglob('*.py')
    if not {'_base_', 'adapt', 'quickstart', 'transfer'} & {*path.parts})
# Those of the later version that differ from the one of ViT-B/16 by their size alone
OTHER_SIZES = [path for path in CONFIGS
               if re.fullmatch(r'vicmae-(v3|official)_vit-[^b].*', path.stem)]


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('videos')
    for index in range(4):
        make_video(folder / f'{index}.mp4', num_frames=12)
    return folder


def train_a_step(cfg: Config, name: str, videos: Path, work_dir: Path) -> None:
    cfg = shrink(cfg, videos, work_dir)
    if cfg.data_preprocessor.type == 'vicmae_mm.AugmentedPairPreprocessor':
        pytest.importorskip('kornia')
    cfg.experiment_name = name.replace('/', '_')
    runner = Runner.from_cfg(cfg)
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    after = runner.model.state_dict()
    # The learning rate starts at 1e-9 of its value: one step hardly moves the weights, but
    # BatchNorm's statistics and the optimizer's state show that it was taken.
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert runner.iter == 1
    assert runner.message_hub.log_scalars['train/loss'].current() > 0


@pytest.mark.parametrize(
    'name', [path for path in CONFIGS if path not in OTHER_SIZES], ids=str)
def test_config_trains_a_step(name, videos, tmp_path):
    train_a_step(Config.fromfile(REPO / 'configs' / name), str(name), videos, tmp_path)


def over_the_other_base(name: Path, folder: Path) -> Config:
    """An ablation with its ``_base_`` changed from videos to packed frames, or back."""
    text = (REPO / 'configs' / name).read_text()
    bases = 'vicmae_vit-b16_k400.py', 'vicmae_vit-b16_k400-packed.py'
    (base, ) = [base for base in bases if f'/{base}' in text]
    path = folder / 'other.py'
    path.write_text(text.replace(f'/{base}', f'/{bases[bases[0] == base]}').replace(
        "'../", f"'{REPO}/configs/"))
    return Config.fromfile(path)


@pytest.mark.parametrize(
    'name', [path for path in CONFIGS
             if path.parts[0] in ('ablations', 'baselines') and 'mit' not in path.stem], ids=str)
def test_each_ablation_works_over_videos_and_over_packed_frames(name, videos, tmp_path):
    cfg, other = Config.fromfile(REPO / 'configs' / name), over_the_other_base(name, tmp_path)
    kinds = {each.train_dataloader.dataset.type for each in (cfg, other)}
    assert kinds == {'vicmae_mm.VideoPairDataset', 'vicmae_mm.PackedFrameDataset'}
    assert cfg.model == other.model
    steps = [[step for step in each.train_dataloader.dataset.pipeline
              if step.type != 'vicmae_mm.VideoInit'] for each in (cfg, other)]
    for one, two in zip(*steps, strict=True):
        assert one == two or {one.pop('backend'), two.pop('backend')} == {'torch', 'cv2'}
        assert one == two
    train_a_step(other, f'other_{name}', videos, tmp_path / 'work_dir')


def test_mae_on_moments_in_time_differs_by_its_videos_alone():
    mae, vicmae = (Config.fromfile(REPO / 'configs' / name) for name in (
        'baselines/mae_vit-b16_mit.py', 'vicmae_vit-b16_mit.py'))
    on_kinetics = Config.fromfile(REPO / 'configs/baselines/mae_vit-b16_k400.py')
    for key in ('data_root', 'ann_file', 'data_prefix'):
        own, others = (cfg.train_dataloader.dataset.pop(key) for cfg in (mae, on_kinetics))
        assert own == vicmae.train_dataloader.dataset[key] != others
    assert mae.to_dict() == on_kinetics.to_dict()


SIZES = {  # width, depth, heads of the encoder, patches a side, and those of the decoder
    's16': (384, 12, 6, 14, 256, 8, 8), 'b16': (768, 12, 12, 14, 512, 8, 16),
    'l16': (1024, 24, 16, 14, 512, 8, 16), 'h14': (1280, 32, 16, 16, 512, 8, 16)}


@pytest.mark.parametrize(
    'name', [path for path in CONFIGS if path.stem.startswith(('vicmae-v3', 'vicmae-official'))],
    ids=str)
def test_networks_of_the_later_version(name):
    cfg = Config.fromfile(REPO / 'configs' / name)
    width, depth, heads, side, *decoder = SIZES[name.stem.split('vit-')[1][:3]]
    settings = ViCMAEViT.arch_zoo[cfg.model.backbone.arch]
    assert (settings['embed_dims'], settings['num_layers'], settings['num_heads']) == (
        width, depth, heads)
    assert cfg.model.projector.in_channels == cfg.model.decoder.embed_dim == width
    assert [cfg.model.decoder[key] for key in (
        'decoder_embed_dim', 'decoder_depth', 'decoder_num_heads')] == decoder
    patch, = {part.patch_size for part in (
        cfg.model.backbone, cfg.model.decoder, cfg.model.head)}
    assert cfg.model.backbone.img_size // patch == side
    assert cfg.model.decoder.num_patches == side**2
    assert cfg.auto_scale_lr.base_batch_size % cfg.train_dataloader.batch_size == 0


@pytest.mark.parametrize('name', OTHER_SIZES, ids=str)
def test_other_sizes_of_the_later_version_differ_by_size_alone(name, videos, tmp_path):
    base = f'{name.stem.split("_")[0]}_vit-b16_{name.stem.split("_")[2]}.py'
    cfg, other = (shrink(Config.fromfile(REPO / 'configs' / each), videos, tmp_path / str(number))
                  for number, each in enumerate((name, base)))
    for each in (cfg, other):
        each.work_dir = each.in1k = None
        each.train_dataloader.dataset.datasets.in1k.data_root = None
    assert cfg.to_dict() == other.to_dict()


def test_recipe_of_the_later_version():
    official, v3, larger = (Config.fromfile(REPO / f'configs/vicmae-{name}.py') for name in (
        'official_vit-b16_in1k-k400', 'v3_vit-b16_in1k-k400', 'v3_vit-b16_in1k-k710-mit'))
    assert official.model.backbone.mask_ratio == 0.5 and v3.model.backbone.mask_ratio == 0.75
    for cfg in (official, v3, larger):
        assert (cfg.model.recon_weight, cfg.model.contrast_weight) == (0.97, 0.03)
        assert cfg.default_hooks.contrast_weight.schedule == 'constant'
        assert cfg.model.contrast_head.temperature == 0.1
        assert cfg.model.projector.variant == 'official'
        assert cfg.auto_scale_lr.base_batch_size == 4096 == 8 * cfg.train_dataloader.batch_size
        assert cfg.train_cfg.max_epochs == 800 and cfg.param_scheduler[0].end == 40
        sources = cfg.train_dataloader.dataset.datasets
        crops = {name: [step.crop_ratio_range for step in source.pipeline
                        if 'RandomCropFlip' in step.type] for name, source in sources.items()}
        images = sources.pop('in1k')
        assert crops.pop('in1k') == [(0.08, 1.0)] and len(images.pipeline) == 6
        for name, source in sources.items():
            assert crops[name] == [(0.08, 1.0) if cfg is official else (0.5, 1.0)]
            assert source.pipeline[1].max_gap == 63
            # the same colours after the crop as on images, or none
            assert source.pipeline[4:-1] == (images.pipeline[2:-1] if cfg is official else [])
        assert {*sources} == ({'k710', 'mit'} if cfg is larger else {'k400'})
    alone = Config.fromfile(REPO / 'configs/vicmae-official_vit-b16_k400.py')
    assert alone.train_dataloader.dataset == official.train_dataloader.dataset.datasets.k400
    assert alone.model == official.model


def test_table_6_is_the_same_on_the_gpu():
    folder = REPO / 'configs'
    workers = Config.fromfile(folder / '_base_/datasets/color_target.py').color_target
    device = Config.fromfile(
        folder / 'ablations/table6_color-spatial_gpu.py').data_preprocessor
    assert device.frames == workers.frames
    for step, kornia in zip(workers.transforms, device.transforms, strict=True):
        settings = dict(step.transforms[0], p=step.prob)
        settings.pop('type')
        assert settings == {name: kornia[name] for name in settings}


def test_paper_table_7():
    cfg = Config.fromfile(REPO / 'configs/vicmae_vit-b16_k400.py')
    assert cfg.auto_scale_lr.base_batch_size == 4096 == 8 * cfg.train_dataloader.batch_size
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.lr == pytest.approx(2.4e-3)
    assert tuple(optimizer.betas) == (0.9, 0.95) and optimizer.weight_decay == 0.05
    assert cfg.train_cfg.max_epochs == 800
    assert cfg.default_hooks.contrast_weight.begin_ratio * 800 == 200
    assert cfg.model.contrast_weight == 0.025
