"""ImageNet configs: the paper's numbers, and a step of a tiny copy of each kind on photos."""
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.models import VisionTransformer

from tests.helpers.classifiers import write_photos
from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH, tiny_vicmae

FOLDER = Path(__file__).resolve().parents[2] / 'configs/transfer/imagenet'
CONFIGS = sorted(path.stem for path in FOLDER.glob('*.py'))
NUM_CLASSES = 5  # the least for top-5 accuracy
# One of each kind; the others are these at another size or on another share of the labels.
KINDS = [
    'attentive_vit-b16', 'finetune_vit-b16', 'finetune_vit-b16_avg', 'finetune_vit-b16_literal',
    'finetune_vit-b16_mae', 'linear_vit-b16', 'linear_vit-b16_avg', 'linear_vit-b16_lars',
    'semi_010pct_vit-b16']


def load(name: str) -> Config:
    return Config.fromfile(FOLDER / f'{name}.py')


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Photos in train/ and val/, a list of a share, and a pre-trained checkpoint."""
    root = tmp_path_factory.mktemp('imagenet')
    images = write_photos(root / 'train', NUM_CLASSES)
    write_photos(root / 'val', NUM_CLASSES)
    (root / 'subsets').mkdir()
    (root / 'subsets/train_010pct.txt').write_text(''.join(
        f'{path.relative_to(images)} {path.parent.name[-1]}\n'
        for path in sorted(images.rglob('*.png'))))
    torch.save(dict(state_dict=tiny_vicmae().state_dict(), meta={}), root / 'pretrained.pth')
    return root


def shrink(cfg: Config, data: Path, work_dir: Path) -> Config:
    """A copy of two layers on 32 px images, by settings that the command line has, too."""
    depth = TINY_ARCH['num_layers']
    cfg.model.backbone.arch = TINY_ARCH
    cfg.merge_from_dict({
        'model.backbone.img_size': IMG_SIZE,
        'model.backbone.patch_size': PATCH,
        'model.backbone.init_cfg.checkpoint': str(data / 'pretrained.pth'),
        'model.head.in_channels': WIDTH,
        'model.head.num_classes': NUM_CLASSES,
        'data_preprocessor.num_classes': NUM_CLASSES,
        'train_cfg.max_epochs': 1,
    })
    if 'frozen_stages' in cfg.model.backbone:
        cfg.model.backbone.frozen_stages = depth
        necks = cfg.model.neck if isinstance(cfg.model.neck, list) else [cfg.model.neck]
        if necks[-1].type.endswith('AttentivePooling'):
            necks[-1].update(in_channels=WIDTH, num_heads=TINY_ARCH['num_heads'])
        else:
            necks[-1].input_features = WIDTH
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(batch_size=6, num_workers=0)
        loader.dataset.data_root = str(data)
        for step in loader.dataset.pipeline:
            for key in ('scale', 'crop_size'):
                if key in step:
                    step[key] = IMG_SIZE
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = str(work_dir).replace('/', '_')
    return cfg


@pytest.mark.parametrize('name', KINDS)
def test_a_tiny_copy_takes_a_step(name, data, tmp_path):
    cfg = shrink(load(name), data, tmp_path)
    cfg.optim_wrapper.optimizer.lr = 1e6  # the first step of the warm-up takes 1e-9 of it
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 1
    pretrained = torch.load(data / 'pretrained.pth', weights_only=True)['state_dict']
    state = runner.model.state_dict()
    shared = [key for key in state if key.startswith('backbone.') and key in pretrained]
    moved = [key for key in shared if not torch.equal(state[key], pretrained[key])]
    if 'frozen_stages' in cfg.model.backbone:
        assert not moved
    else:
        assert len(moved) > len(shared) / 2
        # AdamW's first step is the learning rate, 1e-3: what is further away was not loaded
        assert all(torch.allclose(state[key], pretrained[key], atol=2e-3) for key in shared)
    assert 0 <= runner.message_hub.get_scalar('val/accuracy/top1').current() <= 100


def test_a_probe_by_the_generalised_mean(data, tmp_path):
    """As docs/imagenet.md shows it."""
    cfg = load('linear_vit-b16')
    cfg.model.backbone.out_type = 'raw'
    cfg.model.neck = [dict(type='vicmae_mm.TokenPooling', mode='gem'), cfg.model.neck]
    cfg.optim_wrapper.optimizer.lr = 1e6
    runner = Runner.from_cfg(shrink(cfg, data, tmp_path))
    runner.train()
    assert runner.iter == 1 and runner.model.neck[0].p.item() != 3


@pytest.mark.parametrize('name', sorted(set(CONFIGS) - set(KINDS)))
def test_the_others_differ_by_size_or_share_alone(name, data, tmp_path):
    kind = re.sub(r'vit-(s16|l16|h14)', 'vit-b16', re.sub(r'\d+pct', '010pct', name))
    cfg, other = (shrink(load(each), data, tmp_path) for each in (name, kind))
    if name.startswith('semi'):
        cfg.train_dataloader.dataset.ann_file = other.train_dataloader.dataset.ann_file
    assert cfg.to_dict() == other.to_dict()


def transforms(cfg: Config) -> list[str]:
    return [step.type for step in cfg.train_dataloader.dataset.pipeline][1:-1]


def test_paper_table_8():
    cfg = load('finetune_vit-b16')
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.type == 'AdamW' and optimizer.lr == pytest.approx(1e-3 * 1024 / 256)
    assert optimizer.weight_decay == 0.05 and tuple(optimizer.betas) == (0.9, 0.999)
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == 0.75
    assert cfg.auto_scale_lr.base_batch_size == 1024 == 8 * cfg.train_dataloader.batch_size
    warmup, cosine = cfg.param_scheduler
    assert warmup.end == 5 and cosine.end == cfg.train_cfg.max_epochs == 100
    rand_augment = cfg.train_dataloader.dataset.pipeline[3]
    assert (rand_augment.type, rand_augment.magnitude_level, rand_augment.magnitude_std) == (
        'RandAugment', 9, 0.5)
    assert cfg.model.head.loss.label_smooth_val == 0.1
    assert [(a.type, a.alpha) for a in cfg.model.train_cfg.augments] == [
        ('Mixup', 0.8), ('CutMix', 1.0)]
    assert cfg.model.backbone.drop_path_rate == 0.1
    # the last learning rate of the top layer is MAE's
    assert cosine.eta_min_ratio * optimizer.lr == pytest.approx(1e-6)


@pytest.mark.parametrize('size', ['b16', 'l16', 'h14'])
def test_presets_of_table_8(size):
    mae, literal = load(f'finetune_vit-{size}_mae'), load('finetune_vit-b16_literal')
    assert mae.optim_wrapper.optimizer.lr == pytest.approx(5e-4 * 1024 / 256)
    assert mae.optim_wrapper.paramwise_cfg.layer_decay_rate == 0.65
    assert mae.param_scheduler[1].eta_min_ratio * 2e-3 == pytest.approx(1e-6)
    assert transforms(mae)[-1] == 'RandomErasing'
    assert transforms(literal) == ['RandomResizedCrop', 'RandomFlip', 'RandAugment']
    assert [a.type for a in literal.model.train_cfg.augments] == ['Mixup']


def test_paper_table_9():
    cfg, lars = load('linear_vit-b16'), load('linear_vit-b16_lars')
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.momentum, optimizer.weight_decay) == ('SGD', 0.9, 0)
    assert optimizer.lr == pytest.approx(0.1 * 4096 / 256)
    assert cfg.auto_scale_lr.base_batch_size == 4096 == 8 * cfg.train_dataloader.batch_size
    assert cfg.param_scheduler[0].end == 10 and cfg.train_cfg.max_epochs == 90
    assert transforms(cfg) == ['RandomResizedCrop', 'RandomFlip']
    assert cfg.model.train_cfg is None and cfg.model.backbone.drop_path_rate == 0
    assert cfg.model.head.loss.type == 'CrossEntropyLoss'
    assert lars.optim_wrapper.optimizer.lr == pytest.approx(6.4)
    assert lars.auto_scale_lr.base_batch_size == 16384 == 8 * lars.train_dataloader.batch_size


def test_v_jepa_table_9():
    cfg = load('attentive_vit-b16')
    optimizer, schedule = cfg.optim_wrapper.optimizer, cfg.param_scheduler
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 1e-3, 0.01)
    assert cfg.optim_wrapper.clip_grad.max_norm == 1
    assert [(each.T_max, each.eta_min) for each in schedule] == [(cfg.train_cfg.max_epochs, 0)]
    assert cfg.train_cfg.max_epochs == 20
    assert cfg.auto_scale_lr.base_batch_size == 1024 == 8 * cfg.train_dataloader.batch_size
    assert transforms(cfg) == ['RandomResizedCrop', 'RandomFlip', 'AutoAugment']
    assert cfg.model.train_cfg is None and cfg.model.head.loss.type == 'CrossEntropyLoss'


@pytest.mark.parametrize('percentage', [1, 5, 10, 25, 50, 75, 100])
def test_paper_table_10(percentage):
    cfg, table_8 = load(f'semi_{percentage:03d}pct_vit-b16'), load('finetune_vit-b16')
    assert transforms(cfg) == ['RandomResizedCrop', 'RandomFlip']
    assert cfg.model.train_cfg is None
    assert cfg.model.head == table_8.model.head and cfg.model.backbone == table_8.model.backbone
    assert cfg.optim_wrapper == table_8.optim_wrapper and cfg.train_cfg.max_epochs == 100
    assert bool(cfg.train_dataloader.dataset.ann_file) == (percentage < 100)
    assert not cfg.val_dataloader.dataset.ann_file


@pytest.mark.parametrize('name, checkpoint', [
    ('imagenet/finetune_vit-l16_mae', 'l16'), ('imagenet/finetune_vit-h14_mae', 'h14'),
    ('places365/finetune_vit-b16', 'b16'), ('places365/finetune_vit-l16', 'l16'),
    ('places365/linear_vit-b16', 'b16'), ('places365/linear_vit-l16', 'l16')])
def test_evaluations_of_the_later_version(name, checkpoint, data, tmp_path):
    cfg = load(f'../{name}')
    settings = VisionTransformer.arch_zoo[cfg.model.backbone.arch]
    assert cfg.model.head.in_channels == settings['embed_dims']
    assert cfg.model.backbone.patch_size == int(checkpoint[1:])
    assert cfg.model.backbone.init_cfg.checkpoint == (
        f'work_dirs/vicmae-v3_vit-{checkpoint}_in1k-k400/epoch_800.pth')
    if name.startswith('places365'):
        assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == 365
        for split in ('train', 'val', 'test'):
            dataset = cfg[f'{split}_dataloader'].dataset
            assert dataset.data_root == 'data/places365_standard'
            assert dataset.data_prefix == ('train' if split == 'train' else 'val')
        if 'linear' in name:
            assert cfg.model.backbone.frozen_stages == settings['num_layers']
            assert cfg.model.neck.input_features == settings['embed_dims']
        # ImageNet's, whose recipes are tested above
        base = 'linear_vit-b16' if 'linear' in name else 'finetune_vit-b16_mae'
        cfg, other = (shrink(each, data, tmp_path) for each in (cfg, load(base)))
        assert cfg.to_dict() == other.to_dict()


@pytest.mark.parametrize('size, width, depth, heads', [
    ('s', 384, 12, 6), ('b', 768, 12, 12), ('l', 1024, 24, 16)])
@pytest.mark.parametrize('task', ['attentive', 'finetune', 'linear'])
def test_sizes(task, size, width, depth, heads):
    cfg = load(f'{task}_vit-{size}16')
    settings = VisionTransformer.arch_zoo[cfg.model.backbone.arch]
    assert (settings['embed_dims'], settings['num_layers'], settings['num_heads']) == (
        width, depth, heads)
    assert cfg.model.head.in_channels == width
    assert f'vicmae_vit-{size}16_k400' in cfg.model.backbone.init_cfg.checkpoint
    if task != 'finetune':
        assert cfg.model.backbone.frozen_stages == depth
    if task == 'linear':
        assert cfg.model.neck.input_features == width
    elif task == 'attentive':
        assert (cfg.model.neck.in_channels, cfg.model.neck.num_heads) == (width, heads)
