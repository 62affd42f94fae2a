"""Class folders of tiny photos, and runs of a tiny image classifier on them."""
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner

from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH

IMAGES_A_CLASS = 2


def write_photos(root: Path, num_classes: int = 3, images: int = IMAGES_A_CLASS) -> Path:
    """Write ``root/class_<c>/<i>.png``, and return ``root``."""
    rng = np.random.default_rng(0)
    for label in range(num_classes):
        folder = root / f'class_{label}'
        folder.mkdir(parents=True)
        for index in range(images):
            pixels = rng.integers(0, 256, (IMG_SIZE, IMG_SIZE, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f'{index}.png'), pixels)
    return root


def photo_loader(dataset: dict) -> dict:
    """Data loader of two photos a batch; ``dataset`` goes over a ``CustomDataset``."""
    pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=IMG_SIZE),
                dict(type='PackInputs')]
    return dict(
        batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
        dataset=dict(  # serialising collects garbage, half the time of such a run
            dict(type='CustomDataset', pipeline=pipeline, serialize_data=False), **dataset))


def classifier_config(work_dir: Path, photos: Path, **settings: Any) -> Config:
    """Config of a run of one epoch of a two-layer ViT on photos.

    Settings replace parts of it, by name or dotted name.
    """
    loader = photo_loader(dict(data_root=str(photos)))
    cfg = Config(
        dict(
            model=dict(
                type='mmpretrain.ImageClassifier',
                data_preprocessor=dict(
                    type='mmpretrain.ClsDataPreprocessor', mean=[127.] * 3, std=[60.] * 3),
                backbone=dict(
                    type='mmpretrain.VisionTransformer', arch=TINY_ARCH, img_size=IMG_SIZE,
                    patch_size=PATCH),
                head=dict(type='mmpretrain.LinearClsHead', num_classes=3, in_channels=WIDTH)),
            train_dataloader=loader,
            val_dataloader=loader,
            test_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=1),
            val_cfg=dict(),
            test_cfg=dict(),
            val_evaluator=dict(type='mmpretrain.Accuracy'),
            test_evaluator=dict(type='mmpretrain.Accuracy'),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
            default_scope='mmpretrain',
            work_dir=str(work_dir),
            experiment_name=str(work_dir).replace('/', '_')))
    for key, value in settings.items():  # merging would mix two datasets into one
        if '.' in key:
            cfg.merge_from_dict({key: value})
        else:
            cfg[key] = value
    return cfg


def classifier_runner(work_dir: Path, photos: Path, **settings: Any) -> Runner:
    """The run of :func:`classifier_config`."""
    return Runner.from_cfg(classifier_config(work_dir, photos, **settings))
