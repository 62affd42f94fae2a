"""The twelve image datasets of Table 3, and the paper's results on them."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vicmae_mm.evaluation.images import Images
from vicmae_mm.evaluation.labelled_sources import Source, open_dataset
from vicmae_mm.evaluation.logistic_regression import IGNORE
from vicmae_mm.evaluation.protocol import MAP_11, PER_CLASS, TOP_1
from vicmae_mm.utils.errors import InputError


@dataclass(frozen=True)
class Task:
    """A dataset with its splits and metric."""

    name: str  # as in Table 3
    metric: str  # TOP_1, PER_CLASS or MAP_11
    num_classes: int
    dataset: str  # its registered type
    folder: str  # below the data root
    train: str
    val: str | None  # the official split to choose the penalty on; None to hold out part of train
    test: str
    sizes: tuple[int, int]  # published numbers of images: train and val together, test
    source: str  # where to get it
    layout: tuple[str, ...]  # what the folder contains
    options: tuple[tuple[str, object], ...] = ()  # further arguments of the dataset


_NO_DOWNLOAD = (('download', False), )

# Splits and sizes of Kornblith et al. (arXiv 1805.08974, Table 1), whose protocol this is; Pets
# has 3,669 test images (their 3,369 is a typo). Metrics of SimCLR and BYOL, because Table 3 does
# not name any.
TASKS = (
    Task('Food', TOP_1, 101, 'mmpretrain.Food101', 'food-101', 'train', None, 'test',
         (75750, 25250), 'https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/',
         ('images/<class>/<number>.jpg', 'meta/train.txt', 'meta/test.txt')),
    Task('CIFAR10', TOP_1, 10, 'mmpretrain.CIFAR10', 'cifar10', 'train', None, 'test',
         (50000, 10000), 'https://www.cs.toronto.edu/~kriz/cifar.html (python version)',
         ('cifar-10-batches-py/data_batch_1 ... data_batch_5, test_batch, batches.meta', ),
         _NO_DOWNLOAD),
    Task('CIFAR100', TOP_1, 100, 'mmpretrain.CIFAR100', 'cifar100', 'train', None, 'test',
         (50000, 10000), 'https://www.cs.toronto.edu/~kriz/cifar.html (python version)',
         ('cifar-100-python/train, test, meta', ), _NO_DOWNLOAD),
    Task('Birdsnap', TOP_1, 500, 'vicmae_mm.Birdsnap', 'birdsnap', 'train', None, 'test',
         (47386, 2443), 'http://thomasberg.org/ (birdsnap.tgz, then its get_birdsnap.py)',
         ('species.txt', 'images.txt', 'test_images.txt', 'images/<species>/<number>.jpg')),
    Task('SUN397', TOP_1, 397, 'mmpretrain.SUN397', 'SUN397', 'train', None, 'test',
         (19850, 19850), 'https://vision.princeton.edu/projects/2010/SUN/ (images, Partitions)',
         ('SUN397/<letter>/<class>/sun_*.jpg', 'Partitions/Training_01.txt',
          'Partitions/Testing_01.txt')),
    Task('Cars', TOP_1, 196, 'mmpretrain.StanfordCars', 'Stanford_Cars', 'train', None, 'test',
         (8144, 8041), 'https://ai.stanford.edu/~jkrause/cars/car_dataset.html',
         ('car_ims/*.jpg and cars_annos.mat; or cars_train/*.jpg, cars_test/*.jpg, '
          'devkit/cars_train_annos.mat and devkit/cars_test_annos_withlabels.mat', )),
    Task('Aircraft', PER_CLASS, 100, 'mmpretrain.FGVCAircraft', 'fgvc-aircraft-2013b', 'train',
         'val', 'test', (6667, 3333), 'https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/',
         ('data/images/<number>.jpg', 'data/images_variant_{train,val,test}.txt')),
    Task('VOC2007', MAP_11, 20, 'mmpretrain.VOC', 'VOC2007', 'train', 'val', 'test', (5011, 4952),
         'http://host.robots.ox.ac.uk/pascal/VOC/voc2007/ (trainval and test)',
         ('JPEGImages/<number>.jpg', 'Annotations/<number>.xml',
          'ImageSets/Main/{train,val,test}.txt')),
    Task('DTD', TOP_1, 47, 'mmpretrain.DTD', 'dtd', 'train', 'val', 'test', (3760, 1880),
         'https://www.robots.ox.ac.uk/~vgg/data/dtd/',
         ('images/<class>/<class>_<number>.jpg', 'imdb/imdb.mat')),
    Task('Pets', PER_CLASS, 37, 'mmpretrain.OxfordIIITPet', 'Oxford-IIIT_Pets', 'trainval', None,
         'test', (3680, 3669), 'https://www.robots.ox.ac.uk/~vgg/data/pets/',
         ('images/<class>_<number>.jpg', 'annotations/trainval.txt', 'annotations/test.txt')),
    Task('Caltech101', PER_CLASS, 102, 'mmpretrain.Caltech101', 'caltech-101', 'train', None,
         'test', (3060, 6084), 'https://data.caltech.edu/records/mzrjq-6wc02, and for meta '
         'https://download.openmmlab.com/mmpretrain/datasets/caltech_meta.zip',
         ('101_ObjectCategories/<class>/image_<number>.jpg', 'meta/train.txt', 'meta/test.txt')),
    Task('Flowers', PER_CLASS, 102, 'mmpretrain.Flowers102', 'Flowers102', 'train', 'val', 'test',
         (2040, 6149), 'https://www.robots.ox.ac.uk/~vgg/data/flowers/102/',
         ('jpg/image_<number>.jpg', 'imagelabels.mat', 'setid.mat')),
)

# Table 3, in the order of TASKS: linear evaluation of ViT-B/16; then by task.
_TABLE_3 = {
    'MAE, K400':
    (74.54, 94.86, 79.49, 46.51, 64.33, 60.10, 63.24, 83.07, 78.01, 89.49, 93.28, 93.38),
    'MAE, MiT':
    (76.23, 94.47, 79.50, 47.98, 65.32, 59.48, 60.67, 83.46, 78.21, 88.42, 93.08, 94.17),
    'ViC-MAE, K400':
    (76.56, 93.64, 78.80, 47.56, 64.75, 58.96, 60.14, 83.74, 78.53, 87.65, 92.27, 93.35),
    'ViC-MAE, MiT':
    (77.39, 94.92, 79.88, 48.21, 65.64, 59.76, 60.96, 84.77, 79.27, 88.85, 93.53, 94.62),
}
PAPER = {row: dict(zip((task.name for task in TASKS), scores, strict=True))
         for row, scores in _TABLE_3.items()}


def choose_tasks(names: list[str]) -> list[Task]:
    """Find tasks by name, ignoring case, in the order of the table; ``'all'`` selects all."""
    known = {task.name.lower(): task for task in TASKS}
    if 'all' in (name.lower() for name in names):
        return list(TASKS)
    wrong = [name for name in names if name.lower() not in known]
    if wrong:
        raise InputError(f'There is no dataset {", ".join(wrong)}: choose "all" or any of '
                         f'{", ".join(task.name for task in TASKS)}.')
    return [task for task in TASKS if task.name.lower() in {name.lower() for name in names}]


def open_task(task: Task, data_root: str | Path, size: int | tuple[int, int],
              clip_length: int | None = None) -> Source:
    """Open a dataset of Table 3 in ``data_root``, with images of side ``size`` for the encoder.

    They are images whatever ``clip_length``. If it is missing or cannot be read, a ValueError says
    where to get it and its layout.
    """
    folder = Path(data_root).expanduser() / task.folder
    hint = f'Get it from {task.source}. Expected in {folder}: {"; ".join(task.layout)}.'
    if not folder.is_dir():
        raise InputError(f'missing: there is no folder {folder}. {hint}')
    try:
        train = _open_split(task, task.train, folder, size)
        val = _open_split(task, task.val, folder, size) if task.val else None
        test = _open_split(task, task.test, folder, size)
    except Exception as error:
        # Any type: mmpretrain's loaders parse whatever is on disk.
        raise InputError(f'cannot be read: {type(error).__name__}: {error}. {hint}') from error
    found = (len(train) + len(val or ()), len(test))
    remark = '' if found == task.sizes else ' and '.join(
        f'{count:,} of {published:,} images to {purpose}'
        for count, published, purpose in zip(found, task.sizes, ('train', 'test'), strict=True))
    return Source(task.name, task.metric, task.num_classes, train, val, test, remark)


def _open_split(task: Task, split: str, folder: Path, size: int | tuple[int, int]) -> Images:
    # Not serialised: all records are read at once, and serialising takes longer than reading.
    records, classes = open_dataset(
        dict(type=task.dataset, data_root=str(folder), split=split, serialize_data=False,
             **dict(task.options)))
    if not records:
        raise InputError(f'its split {split!r} is empty')
    return Images(records, _targets(task, records), size, classes)


def _targets(task: Task, records: list[dict[str, Any]]) -> Tensor:
    if task.metric != MAP_11:
        return torch.tensor([record['gt_label'] for record in records])
    targets = torch.zeros(len(records), task.num_classes, dtype=torch.long)
    for row, record in zip(targets, records, strict=True):
        row[record['gt_label_difficult']] = IGNORE
        # In this order: one object that is not difficult makes the class present.
        row[record['gt_label']] = 1
    return targets
