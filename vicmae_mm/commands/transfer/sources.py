"""Sources of labelled images: the twelve datasets, or class folders."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vicmae_mm.datasets.annotations.image_lists import scan_classes
from vicmae_mm.evaluation.logistic_regression import IGNORE
from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError

from .images import DatasetProblem, Images
from .tasks import MAP_11, TOP_1, Task

FOLDERS = ('train', 'val', 'test')


@dataclass(frozen=True)
class Source:
    """An opened dataset.

    Without ``val``, part of ``train`` is held out to choose the penalty on. ``remark`` says how
    the dataset differs from the published one, if it does.
    """

    name: str
    metric: str
    num_classes: int
    train: Images
    val: Images | None
    test: Images
    remark: str = ''


def open_task(task: Task, data_root: str | Path, size: int | tuple[int, int]) -> Source:
    """Open a dataset of Table 3 in ``data_root``, with images of side ``size`` for the encoder.

    Raises:
        DatasetProblem: If it is missing or cannot be read; says where to get it and its layout.
    """
    folder = Path(data_root).expanduser() / task.folder
    hint = f'Get it from {task.source}. Expected in {folder}: {"; ".join(task.layout)}.'
    if not folder.is_dir():
        raise DatasetProblem(f'missing: there is no folder {folder}. {hint}')
    try:
        train = _open_split(task, task.train, folder, size)
        val = _open_split(task, task.val, folder, size) if task.val else None
        test = _open_split(task, task.test, folder, size)
    except Exception as error:
        # Any type: mmpretrain's loaders parse whatever is on disk.
        raise DatasetProblem(f'cannot be read: {type(error).__name__}: {error}. {hint}') from error
    found = (len(train) + len(val or ()), len(test))
    remark = '' if found == task.sizes else ' and '.join(
        f'{count:,} of {published:,} images to {purpose}'
        for count, published, purpose in zip(found, task.sizes, ('train', 'test'), strict=True))
    return Source(task.name, task.metric, task.num_classes, train, val, test, remark)


def open_class_folders(name: str, folder: Path, size: int | tuple[int, int]) -> Source:
    """Open ``folder/{train,[val,]test}/<class>/<image>``, to be scored by top-1.

    Raises:
        DatasetProblem: If images or classes are missing.
    """
    train, val, test = (_class_folder_images(folder / split) for split in FOLDERS)
    classes = sorted({_class_of(path) for path in train})
    if len(classes) < 2 or not test:
        raise DatasetProblem(
            f'missing: {folder} should contain train/<class>/<image>, test/<class>/<image> and, '
            'optionally, val/<class>/<image>, of two classes or more; train has '
            f'{len(classes)}, test {len({_class_of(path) for path in test})}.')
    unknown = sorted({_class_of(path) for path in val + test} - set(classes))
    if unknown:
        # Quotes where spaces would not be seen.
        shown = [name if name == name.strip() else repr(name) for name in unknown]
        raise DatasetProblem(f'{folder} has class folders that are missing in train: '
                             f'{", ".join(shown[:3])}.')
    numbers = {name: number for number, name in enumerate(classes)}

    def images(split: str, paths: list[str]) -> Images:
        labels = torch.tensor([numbers[_class_of(path)] for path in paths])
        return Images([dict(img_path=str(folder / split / path)) for path in paths], labels, size,
                      classes)

    return Source(name, TOP_1, len(classes), images('train', train),
                  images('val', val) if val else None, images('test', test))


def _open_split(task: Task, split: str, folder: Path, size: int | tuple[int, int]) -> Images:
    # Not serialised: all records are read at once, and serialising takes longer than reading.
    dataset: Any = DATASETS.build(
        dict(type=task.dataset, data_root=str(folder), split=split, serialize_data=False,
             **dict(task.options)))
    records = [dataset.get_data_info(index) for index in range(len(dataset))]
    if not records:
        raise InputError(f'its split {split!r} is empty')
    return Images(records, _targets(task, records), size, dataset.CLASSES)


def _targets(task: Task, records: list[dict[str, Any]]) -> Tensor:
    if task.metric != MAP_11:
        return torch.tensor([record['gt_label'] for record in records])
    targets = torch.zeros(len(records), task.num_classes, dtype=torch.long)
    for row, record in zip(targets, records, strict=True):
        row[record['gt_label_difficult']] = IGNORE
        # In this order: one object that is not difficult makes the class present.
        row[record['gt_label']] = 1
    return targets


def _class_folder_images(folder: Path) -> list[str]:
    """Paths ``<class>/<image>`` in a folder; empty if it has no class folders."""
    if not any(path.is_dir() and not path.name.startswith('.') for path in folder.glob('*')):
        return []
    try:
        return [path for path, _ in scan_classes(str(folder))]
    except ValueError as error:
        raise DatasetProblem(str(error)) from error


def _class_of(path: str) -> str:
    return Path(path).parts[0]
