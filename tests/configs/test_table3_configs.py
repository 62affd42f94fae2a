"""Table 3 by Table 9's SGD: every config trains a step on a copy of its dataset."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH, tiny_vicmae
from tests.helpers.transfer_datasets import make_all
from vicmae_mm.commands.transfer.tasks import MAP_11, PER_CLASS, TASKS, TOP_1

FOLDER = Path(__file__).resolve().parents[2] / 'configs/transfer/table3'
METRICS = {
    TOP_1: ('Accuracy', 'accuracy/top1'),
    PER_CLASS: ('SingleLabelMetric', 'single-label/recall'),
    MAP_11: ('vicmae_mm.ElevenPointMAP', 'multi-label/mAP'),
}


def load(task) -> Config:
    return Config.fromfile(FOLDER / f'linear_vit-b16_{task.name.lower()}.py')


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('table3')
    make_all(root)
    torch.save(dict(state_dict=tiny_vicmae().state_dict(), meta={}), root / 'pretrained.pth')
    return root


@pytest.fixture(autouse=True)
def any_checksum(monkeypatch) -> None:
    from mmpretrain.datasets import CIFAR10, CIFAR100
    for kind in (CIFAR10, CIFAR100):
        for files in ('train_list', 'test_list'):
            monkeypatch.setattr(kind, files, [[name, None] for name, _ in getattr(kind, files)])


def shrink(cfg: Config, data: Path, work_dir: Path) -> Config:
    depth = TINY_ARCH['num_layers']
    cfg.model.backbone.update(
        arch=TINY_ARCH, img_size=IMG_SIZE, patch_size=PATCH, frozen_stages=depth)
    cfg.model.backbone.init_cfg.checkpoint = str(data / 'pretrained.pth')
    cfg.model.neck.input_features = cfg.model.head.in_channels = WIDTH
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(batch_size=6, num_workers=0)
        loader.dataset.data_root = str(data / Path(loader.dataset.data_root).name)
        for step in loader.dataset.pipeline:
            for key in {'scale', 'crop_size'} & step.keys():
                step[key] = IMG_SIZE
    if cfg.train_dataloader.dataset.type == 'vicmae_mm.Birdsnap':
        cfg.model.head.num_classes = cfg.data_preprocessor.num_classes = 6  # of the copy
    cfg.train_cfg.max_epochs = cfg.train_cfg.val_interval = 1
    cfg.work_dir, cfg.experiment_name = str(work_dir), str(work_dir).replace('/', '_')
    return cfg


@pytest.mark.parametrize('task', TASKS, ids=lambda task: task.name)
def test_a_tiny_copy_trains_the_classifier_alone(task, data, tmp_path):
    cfg = shrink(load(task), data, tmp_path)
    cfg.optim_wrapper.optimizer.lr = 1e6  # the first step of the warm-up takes 1e-9 of it
    runner = Runner.from_cfg(cfg)
    before = {key: value.clone() for key, value in runner.model.named_parameters()}
    runner.train()
    assert runner.iter >= 1
    encoder = torch.load(data / 'pretrained.pth', weights_only=True)['state_dict']
    moved = {key for key, value in runner.model.named_parameters()
             if not torch.equal(value, encoder.get(key, before[key]))}
    assert moved == {'head.fc.weight', 'head.fc.bias'}
    assert 0 <= runner.message_hub.get_scalar(f'val/{METRICS[task.metric][1]}').current() <= 100


@pytest.mark.parametrize('task', TASKS, ids=lambda task: task.name)
def test_data_and_metric_are_those_of_the_other_protocol(task):
    cfg = load(task)
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    assert train.type.split('.')[-1] == test.type.split('.')[-1] == task.dataset.split('.')[-1]
    assert train.data_root == test.data_root == f'data/{task.folder}'
    assert train.split == ('trainval' if task.val else task.train) and test.split == task.test
    assert cfg.val_dataloader.dataset == test
    assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == task.num_classes
    assert cfg.val_evaluator.type == cfg.test_evaluator.type == METRICS[task.metric][0]
    # CIFAR's arrays are RGB, files are read as BGR
    reads_files = train.pipeline[0].type == test.pipeline[0].type == 'LoadImageFromFile'
    assert cfg.data_preprocessor.to_rgb == reads_files == (not task.name.startswith('CIFAR'))


def test_table_9():
    cfg = load(TASKS[0])
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.momentum, optimizer.weight_decay) == ('SGD', 0.9, 0)
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size == 256
    assert optimizer.lr == pytest.approx(0.1)  # the base lr, which is for 256 images
    warmup, cosine = cfg.param_scheduler
    assert warmup.end == 10 and cosine.end == cfg.train_cfg.max_epochs == 90
    # the test images choose nothing
    assert cfg.train_cfg.val_interval == 90 and not cfg.default_hooks.checkpoint.save_best
