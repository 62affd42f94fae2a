"""Kinetics configs train a step, test in 21 views as mmaction2, and hold the recipes' numbers."""
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.models import VisionTransformer

from tests.helpers.clip_configs import shrink_clips, write_pretrained, write_videos
from vicmae_mm.registry import MODELS

FOLDER = Path(__file__).resolve().parents[2] / 'configs/transfer/kinetics400'
TRAINED = ['attentive_vit-b16_16x4.py', 'finetune_vit-b16_16x4.py',
           'finetune-videomae_vit-b16_16x4.py', 'linear_vit-b16_16x4.py']


@pytest.fixture(autouse=True)
def mmaction_scope():
    with DefaultScope.overwrite_default_scope('mmaction'):
        yield


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp('clips')
    return write_videos(folder), write_pretrained(folder)


def tiny(name: str, data: tuple[Path, Path], work_dir: Path, **options) -> Config:
    cfg = shrink_clips(Config.fromfile(FOLDER / name), *data, work_dir)
    cfg.merge_from_dict(options)
    return cfg


@pytest.mark.parametrize('name', TRAINED)
def test_config_trains_a_step_and_validates(name, data, tmp_path):
    runner = Runner.from_cfg(tiny(name, data, tmp_path))
    runner.train()
    assert runner.iter == 1
    encoder = torch.load(data[1], weights_only=True)['state_dict']
    backbone = runner.model.backbone.state_dict()
    # the encoder came from the checkpoint: the learning rate of one step is 1e-9 of its value
    torch.testing.assert_close(
        backbone['layers.1.attn.qkv.weight'], encoder['backbone.layers.1.attn.qkv.weight'],
        rtol=0, atol=1e-6)
    updated = runner.optim_wrapper.optimizer.state  # what has moments, or momentum
    assert runner.model.cls_head.fc_cls.weight in updated
    frozen = name.startswith(('attentive', 'linear'))
    assert (runner.model.backbone.pos_embed in updated) != frozen
    if frozen:  # bit for bit
        assert all(torch.equal(value, encoder[f'backbone.{key}']) for key, value in backbone.items()
                   if key.startswith('layers'))
    scalars = runner.message_hub.log_scalars
    assert scalars['train/loss'].current() > 0
    assert 0 <= scalars['val/acc/top1'].current() <= 1


@pytest.mark.parametrize('size', ['s', 'l'])
@pytest.mark.parametrize('recipe', ['attentive', 'finetune', 'finetune-videomae'])
def test_sizes_differ_by_network_and_schedule_alone(recipe, size, data, tmp_path):
    cfg, base = (tiny(f'{recipe}_vit-{each}16_16x4.py', data, tmp_path) for each in (size, 'b'))
    assert cfg.model.backbone.arch == base.model.backbone.arch  # both shrunk
    for each in (cfg, base):  # test_numbers_of_the_recipes
        each.pop('param_scheduler')
        each.optim_wrapper.optimizer.pop('lr')
        each.optim_wrapper.paramwise_cfg.pop('layer_decay_rate', None)
        each.model.backbone.pop('drop_path_rate')
    assert cfg.to_dict() == base.to_dict()


def test_classes_of_head_and_mixing_must_agree(data, tmp_path):
    cfg = tiny('finetune_vit-b16_16x4.py', data, tmp_path,
               **{'model.data_preprocessor.blending.num_classes': 5})
    with pytest.raises(ValueError, match=r'numbers of classes: .*blending\.num_classes='):
        Runner.from_cfg(cfg).train()


@pytest.fixture(scope='module')
def checkpoint(data, tmp_path_factory) -> Path:
    """A model whose head tells clips apart, but is not sure."""
    folder = tmp_path_factory.mktemp('checkpoint')
    with DefaultScope.overwrite_default_scope('mmaction'):
        model = MODELS.build(tiny('finetune_vit-b16_16x4.py', data, folder).model)
        model.init_weights()
    # logits of about 2: sure of everything, no average would differ from another
    torch.nn.init.normal_(
        model.cls_head.fc_cls.weight, std=0.3, generator=torch.Generator().manual_seed(0))
    torch.save(dict(state_dict=model.state_dict()), folder / 'model.pth')
    return folder / 'model.pth'


def predictions(cfg: Config, checkpoint: Path) -> torch.Tensor:
    cfg.load_from = str(checkpoint)
    dump = f'{cfg.work_dir}/predictions.pkl'
    cfg.test_evaluator = [cfg.test_evaluator, dict(type='mmengine.DumpResults', out_file_path=dump)]
    Runner.from_cfg(cfg).test()
    return torch.stack([sample['pred_score']
                        for sample in pickle.loads(Path(dump).read_bytes())])


def test_21_views_are_the_mean_of_their_softmax(data, checkpoint, tmp_path):
    cfg = tiny('finetune_vit-b16_16x4.py', data, tmp_path)
    got = predictions(cfg, checkpoint)
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)['state_dict'])
    for index, sample in enumerate(Runner.build_dataloader(cfg.test_dataloader)):
        views = model.data_preprocessor(sample)['inputs'][0]
        assert views.shape == (21, 3, 4, 32, 32)
        with torch.no_grad():
            logits = torch.stack([model.cls_head(model.backbone(view[None]))[0] for view in views])
        # one view at a time instead of 21 together: rounding of float32
        torch.testing.assert_close(got[index], logits.softmax(dim=1).mean(dim=0), atol=1e-5, rtol=0)
        # B10: what averaging before the softmax would give is something else
        assert (got[index] - logits.mean(dim=0).softmax(dim=0)).abs().max() > 1e-4
    turns = tiny('finetune_vit-b16_16x4.py', data, tmp_path / 'turns',
                 **{'model.test_cfg.max_testing_views': 4})
    torch.testing.assert_close(predictions(turns, checkpoint), got, atol=1e-5, rtol=0)


def test_5_views_are_whole_frames_of_5_clips(data, checkpoint, tmp_path):
    cfg = tiny('finetune_vit-b16_16x4_5x1.py', data, tmp_path)
    got = predictions(cfg, checkpoint)
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)['state_dict'])
    sample = next(iter(Runner.build_dataloader(cfg.test_dataloader)))
    views = model.data_preprocessor(sample)['inputs'][0]
    assert views.shape == (5, 3, 4, 32, 32)
    with torch.no_grad():
        logits = torch.cat([model.cls_head(model.backbone(view[None])) for view in views])
    torch.testing.assert_close(got[0], logits.softmax(dim=1).mean(dim=0), atol=1e-5, rtol=0)


@pytest.mark.parametrize('size', ['b', 'l'])
def test_5_views_of_real_size(size, data):
    """The frame is squashed, not cropped; nothing else differs."""
    cfg, base = (read(f'finetune_vit-{size}16', views) for views in ('_5x1', ''))
    pipeline = cfg.test_pipeline
    assert cfg.test_dataloader.dataset.pipeline == pipeline
    cfg.test_dataloader.dataset.pipeline = cfg.test_pipeline = base.test_pipeline
    assert cfg.to_dict() == base.to_dict()
    sampled = Compose(pipeline[:2])(
        dict(filename=str(data[0].parent / '0.mp4'), start_index=0, label=0))
    wide = dict(sampled, imgs=[np.tile(np.arange(640, dtype=np.uint8), (360, 1))[..., None].repeat(
        3, -1) for _ in range(80)])
    packed = Compose(pipeline[3:])(wide)['inputs']
    assert packed.shape == (5, 3, 16, 224, 224)
    assert packed[0, 0, 0, 0, 0] <= 3 and packed[0, 0, 0, 0, -1] >= 125  # 639 mod 256 = 127


def test_recognizer2d_averages_before_the_softmax(data):
    """B10, the trap: with the head of TSN `average_clips='prob'` comes too late."""
    model = MODELS.build(dict(
        type='mmaction.Recognizer2D',
        data_preprocessor=dict(type='mmaction.ActionDataPreprocessor'),
        backbone=dict(
            type='mmpretrain.VisionTransformer', img_size=32, patch_size=8,
            out_type='avg_featmap', arch=dict(
                embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=32)),
        cls_head=dict(
            type='mmaction.TSNHead', num_classes=2, in_channels=32, spatial_type=None,
            average_clips='prob'))).eval()
    torch.nn.init.normal_(model.cls_head.fc_cls.weight)
    from mmaction.structures import ActionDataSample
    views = torch.randn(1, 21, 3, 32, 32)
    with torch.no_grad():
        got = model.predict(views, [ActionDataSample()])[0].pred_score
        logits = model.cls_head.fc_cls(model.backbone(views[0])[0])
    torch.testing.assert_close(got, logits.mean(dim=0).softmax(dim=0), atol=1e-5, rtol=0)
    assert (got - logits.softmax(dim=1).mean(dim=0)).abs().max() > 1e-3


def test_mixing_is_mixup_or_cutmix_of_all_views():
    from mmaction.structures import ActionDataSample
    mix = MODELS.build(dict(type='vicmae_mm.MixupCutmix', num_classes=3))
    kinds = set()
    for _ in range(20):
        clips = torch.stack([torch.full((1, 3, 2, 8, 8), float(n)) for n in range(3)])
        samples = [ActionDataSample().set_gt_label(n) for n in range(3)]
        mixed, samples = mix(clips, samples)
        labels = torch.stack([sample.gt_label for sample in samples])
        torch.testing.assert_close(labels.sum(dim=1), torch.ones(3))
        # label n weighs clip n, whose pixels are n: shares of both agree (CutMix: on average)
        torch.testing.assert_close(
            mixed.flatten(1).mean(dim=1), labels @ torch.arange(3.), atol=1e-5, rtol=0)
        whole = all(len(clip.unique()) == 1 for clip in mixed)
        kinds.add('mixup' if whole and mixed.frac().any() else 'cutmix' if not whole else '')
    assert {'mixup', 'cutmix'} <= kinds


def read(name: str, views: str = '') -> Config:
    return Config.fromfile(FOLDER / f'{name}_16x4{views}.py')


# base lr, number of videos that it is for, last base lr, epochs, layer decay, drop path
RECIPES = {
    'finetune_vit-b16': (6e-4, 16, 1e-5, 75, 0.65, 0.1),
    'finetune_vit-s16': (6e-4, 16, 1e-5, 75, 0.65, 0.1),
    'finetune_vit-l16': (3e-4, 16, 1e-5, 50, 0.75, 0.2),
    'finetune-videomae_vit-b16': (5e-4, 256, 1e-6, 75, 0.75, 0.1),
    'finetune-videomae_vit-s16': (5e-4, 256, 1e-6, 150, 0.75, 0.1),
    'finetune-videomae_vit-l16': (2e-3, 256, 1e-6, 35, 0.75, 0.1),
    'linear_vit-b16': (0.1, 256, 0, 90, None, 0),
}


@pytest.mark.parametrize('name', RECIPES)
def test_numbers_of_the_recipes(name):
    lr, unit, last, epochs, layer_decay, drop_path = RECIPES[name]
    cfg = read(name)
    videos = 8 * cfg.train_dataloader.batch_size
    assert cfg.auto_scale_lr.base_batch_size == videos == 128
    assert cfg.optim_wrapper.optimizer.lr * unit / videos == pytest.approx(lr)
    warmup, cosine = cfg.param_scheduler
    assert warmup.end == cosine.begin == cosine.end - cosine.T_max
    assert cosine.end == cfg.train_cfg.max_epochs == epochs
    assert cosine.get('eta_min_ratio', 0) * lr == pytest.approx(last)
    assert cfg.optim_wrapper.get('paramwise_cfg', {}).get('layer_decay_rate') == layer_decay
    assert cfg.model.backbone.drop_path_rate == drop_path


@pytest.mark.parametrize('name', sorted(RECIPES.keys() - {'linear_vit-b16'}))
def test_what_the_two_recipes_of_fine_tuning_share_and_what_not(name):
    cfg = read(name)
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.type == 'AdamW' and optimizer.weight_decay == 0.05
    assert tuple(optimizer.betas) == (0.9, 0.999)
    assert cfg.model.cls_head.label_smooth_eps == 0.1
    no_decay, dropout = cfg.optim_wrapper.paramwise_cfg.custom_keys, cfg.model.cls_head.get(
        'dropout_ratio', 0)
    if name.startswith('finetune-videomae'):
        assert len(no_decay) == 4 and dropout == 0 and 'clip_grad' not in cfg.optim_wrapper
    else:  # PySlowFast's
        assert no_decay == {} and dropout == 0.3
        assert cfg.optim_wrapper.clip_grad.max_norm == 5.0


def test_the_linear_classifier_trains_nothing_else():
    assert read('linear_vit-b16').model.backbone.frozen_stages == 12


@pytest.mark.parametrize('size, width, depth, heads', [
    ('s', 384, 12, 6), ('b', 768, 12, 12), ('l', 1024, 24, 16)])
def test_the_attentive_probe_fits_its_encoder_and_its_clips(size, width, depth, heads):
    """16 x 8 x 3: the head, and the pipelines, have 8 clips."""
    cfg = read(f'attentive_vit-{size}16')
    head = cfg.model.cls_head
    assert (head.in_channels, cfg.model.backbone.frozen_stages, head.num_heads) == (
        width, depth, heads)
    settings = VisionTransformer.arch_zoo[cfg.model.backbone.arch]
    assert (settings['embed_dims'], settings['num_layers'], settings['num_heads']) == (
        width, depth, heads)
    for pipeline in (cfg.train_pipeline, cfg.val_pipeline, cfg.test_pipeline):
        assert pipeline[1].num_clips == head.num_clips == 8
    assert cfg.auto_scale_lr.base_batch_size == 256 == 8 * cfg.train_dataloader.batch_size


def test_the_probe_of_an_image_encoder_ignores_the_order_of_tubelets(data, tmp_path):
    """Inflated weights have no temporal positions, and V-JEPA's probe adds none."""
    cfg = tiny('attentive_vit-b16_16x4.py', data, tmp_path)
    model = MODELS.build(cfg.model).eval()
    model.init_weights()
    clips = torch.randn(1, 8, 3, 4, 32, 32)
    with torch.no_grad():
        logits, = (model.extract_feat(clips, stage='head')[0])
        order = torch.tensor([2, 3, 0, 1])
        swapped, = (model.extract_feat(clips.flip(1)[:, :, :, order], stage='head')[0])
    torch.testing.assert_close(swapped, logits, atol=1e-5, rtol=0)
