"""Our encoders under mmaction2's 2-D recognizers: weights arrive, views are averaged right."""
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from tests.helpers.clip_configs import CLASSES, write_pretrained, write_videos
from tests.helpers.models import IMG_SIZE, PATCH, TINY_3D, TINY_ARCH, WIDTH
from vicmae_mm.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
KINETICS = CONFIGS / 'transfer/kinetics400'
# transfer config: (pre-training config, a smaller network, its channels)
STOCK = {
    'tsn_contrastive-r50_1x1x3.py': (
        'contrastive_resnet50_k400.py', dict(depth=18), 512),
    'tsn_contrastive-swin-t_1x1x3.py': (
        'contrastive_swin-t_k400.py',
        dict(arch=dict(embed_dims=24, depths=[1, 1, 1, 1], num_heads=[1, 2, 3, 4]),
             img_size=IMG_SIZE, pad_small_map=True), 192),
    'slowonly_contrastive-r50_8x8x1.py': (
        'contrastive_slowonly-r50_k400.py', *TINY_3D['mmaction.ResNet3dSlowOnly']),
    'swin3d_contrastive-t_32x2x1.py': (
        'contrastive_swin3d-t_k400.py', *TINY_3D['mmaction.SwinTransformer3D']),
}
IMAGE_ENCODERS = ['tsn_vit-b16_1x1x8.py', 'tsm_vit-b16_1x1x8.py', 'attentive_vit-b16_1x1x8.py']
CLIPS = [name for name in STOCK if not name.startswith('tsn')]


@pytest.fixture(autouse=True)
def mmaction_scope():
    with DefaultScope.overwrite_default_scope('mmaction'):
        yield


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> Path:
    return write_videos(tmp_path_factory.mktemp('videos'))


def shrink_frames(cfg: Config, videos: Path, work_dir: Path) -> Config:
    """One step on the tiny videos, with sizes of 32 px."""
    cfg.model.cls_head.num_classes = CLASSES
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.batch_size = min(loader.batch_size, 4)
        loader.dataset.update(ann_file=str(videos), data_prefix=dict(video=str(videos.parent)))
        for outer in loader.dataset.pipeline:
            for step in (outer, *outer.get('transforms', ())):
                if isinstance(step.get('scale'), tuple):
                    step.scale = tuple(IMG_SIZE if size > 0 else size for size in step.scale)
                for key in {'crop_size', 'input_size'} & step.keys():
                    step[key] = IMG_SIZE
                if step.get('clip_len', 1) > 8 or 'frame_interval' in step:
                    step.clip_len = min(step.clip_len, 4)
    if cfg.optim_wrapper.get('type') == 'AmpOptimWrapper':
        cfg.optim_wrapper.type = 'OptimWrapper'  # there is no GPU
    cfg.train_cfg.max_epochs = 1
    cfg.param_scheduler = None  # a warm-up would begin at nothing
    cfg.work_dir, cfg.experiment_name = str(work_dir), str(work_dir).replace('/', '_')
    return cfg


def tiny_vit(name: str, folder: Path, videos: Path) -> tuple[Config, Path]:
    cfg = shrink_frames(Config.fromfile(KINETICS / name), videos, folder)
    checkpoint = write_pretrained(folder)
    cfg.model.backbone.update(arch=TINY_ARCH, img_size=IMG_SIZE, patch_size=PATCH)
    cfg.model.backbone.init_cfg.checkpoint = str(checkpoint)
    cfg.model.cls_head.in_channels = WIDTH
    if 'num_heads' in cfg.model.cls_head:  # the attentive probe
        cfg.model.backbone.frozen_stages = TINY_ARCH['num_layers']
        cfg.model.cls_head.num_heads = TINY_ARCH['num_heads']
    return cfg, checkpoint


def tiny_stock(name: str, folder: Path, videos: Path) -> tuple[Config, Path]:
    """The config, and a checkpoint of the pre-training config that goes with it."""
    pretraining, network, channels = STOCK[name]
    cfg = Config.fromfile(CONFIGS / pretraining)
    cfg.model.backbone.update(network)
    cfg.model.projector.in_channels = channels
    torch.save(
        dict(state_dict=MODELS.build(cfg.model).state_dict()), folder / 'pretrained.pth')
    cfg = shrink_frames(Config.fromfile(KINETICS / name), videos, folder)
    cfg.model.backbone.update(network)
    cfg.model.cls_head.in_channels = channels
    cfg.load_from = str(folder / 'pretrained.pth')
    return cfg, folder / 'pretrained.pth'


class StartOf(Hook):
    """Keeps the model as it is before the first step."""

    def __init__(self, runner: Runner) -> None:
        runner.register_hook(self)

    def before_train_epoch(self, runner: Runner) -> None:
        self.model = {key: value.clone() for key, value in runner.model.state_dict().items()}
        self.backbone = {key.removeprefix('backbone.'): value
                         for key, value in self.model.items() if key.startswith('backbone.')}


def backbone_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    return {key.removeprefix('backbone.'): value for key, value in state.items()
            if key.startswith('backbone.')}


@pytest.mark.parametrize('name', [*IMAGE_ENCODERS, *STOCK])
def test_weights_arrive_and_a_step_is_trained(name, videos, tmp_path):
    cfg, checkpoint = (tiny_stock if name in STOCK else tiny_vit)(name, tmp_path, videos)
    runner = Runner.from_cfg(cfg)
    start = StartOf(runner)
    runner.train()
    loaded = backbone_of(checkpoint)
    assert start.backbone.keys() == loaded.keys() and len(loaded) > 20
    assert all(torch.equal(start.backbone[key], value) for key, value in loaded.items())
    assert runner.iter == 1
    moved = [key for key, value in runner.model.named_parameters()
             if not torch.equal(value, start.model[key])]
    frozen = name.startswith('attentive')
    assert {key.split('.')[0] for key in moved} == {'cls_head', *([] if frozen else ['backbone'])}
    scalars = runner.message_hub.log_scalars
    assert scalars['train/loss'].current() > 0
    assert 0 <= scalars['val/acc/top1'].current() <= 1


@pytest.mark.parametrize('name', IMAGE_ENCODERS)
def test_21_views_are_the_mean_of_their_softmax(name, videos, tmp_path):
    cfg, _ = tiny_vit(name, tmp_path, videos)
    model = MODELS.build(cfg.model).eval()
    model.init_weights()
    for parameter in model.cls_head.parameters():  # unsure, so that averages differ
        torch.nn.init.normal_(parameter, std=0.3)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    cfg.load_from = str(tmp_path / 'model.pth')
    dump = tmp_path / 'dump.pkl'
    cfg.test_evaluator = [
        cfg.test_evaluator, dict(type='mmengine.DumpResults', out_file_path=str(dump))]
    Runner.from_cfg(cfg).test()
    got = pickle.loads(dump.read_bytes())
    loader = Runner.build_dataloader(cfg.test_dataloader)
    for sample, prediction in zip(loader, got, strict=True):
        frames = model.data_preprocessor(sample)['inputs'][0]
        assert frames.shape == (3 * 7 * 8, 3, IMG_SIZE, IMG_SIZE)
        with torch.no_grad():
            # view by view: its frames' and their patches' mean or attention, then the classifier
            logits = torch.stack([
                model.cls_head(maps)[0] if name.startswith('attentive') else
                model.cls_head.fc_cls(maps.mean(dim=(0, 2, 3)))
                for maps in (model.backbone(view)[0] for view in frames.split(8))])
        # 8 frames at once instead of 168: rounding of float32
        torch.testing.assert_close(
            prediction['pred_score'], logits.softmax(dim=1).mean(dim=0), atol=1e-5, rtol=0)
        stock = logits.mean(dim=0).softmax(dim=0)  # TSNHead
        assert (prediction['pred_score'] - stock).abs().max() > 1e-5


@pytest.mark.parametrize('name', CLIPS)
def test_stock_test_has_21_views_whose_softmax_is_averaged(name, videos, tmp_path):
    cfg, checkpoint = tiny_stock(name, tmp_path, videos)
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume()
    seen = []
    runner.model.cls_head.register_forward_hook(lambda *args: seen.append(args[2]))
    for sample in runner.test_dataloader:
        prediction, = runner.model.test_step(sample)
        views = seen.pop()
        assert len(views) == 7 * 3 and len(sample['inputs'][0]) == 21
        torch.testing.assert_close(prediction.pred_score, views.softmax(dim=1).mean(dim=0))
    assert backbone_of(checkpoint).keys() == runner.model.backbone.state_dict().keys()


@pytest.mark.parametrize('name', STOCK)
def test_checkpoint_of_another_model_is_refused(name, videos, tmp_path):
    cfg, _ = tiny_stock(name, tmp_path, videos)
    cfg.load_from = str(write_pretrained(tmp_path))
    with pytest.raises(ValueError, match='contains none of the parameters'):
        Runner.from_cfg(cfg).train()


@pytest.mark.parametrize('name', STOCK)
def test_the_rest_is_the_stock_config_and_nothing_is_downloaded(name, tmp_path):
    text = (KINETICS / name).read_text()
    base = tmp_path / 'base.py'
    base.write_text(text[text.index('_base_'):text.index('\n\ncustom_imports')])
    ours, stock = Config.fromfile(KINETICS / name), Config.fromfile(base)
    assert ours.load_from and not stock.load_from
    changed = {key for key in ours.keys() | stock.keys() if ours.get(key) != stock.get(key)}
    expected = {'custom_imports', 'load_from', 'model', 'default_hooks', 'train_cfg',
                'train_dataloader'}
    if name in CLIPS:
        expected |= {'test_pipeline', 'test_dataloader'}  # 7 x 3 views
    assert expected - {'model'} <= changed <= expected
    # Resumed runs continue as if they had never stopped; the data and epochs are the stock ones.
    assert ours.train_cfg.pop('type') == 'vicmae_mm.ResumableTrainLoop'
    assert ours.train_dataloader.sampler.pop('type') == 'vicmae_mm.EpochSampler'
    del stock.train_cfg['type'], stock.train_dataloader.sampler['type']
    assert ours.train_cfg == stock.train_cfg
    assert ours.train_dataloader == stock.train_dataloader
    assert ours.model.backbone.get('pretrained') is ours.model.backbone.get('init_cfg') is None
