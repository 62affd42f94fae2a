"""Opening the twelve datasets."""
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vicmae_mm.evaluation.images import DatasetProblem, Images
from vicmae_mm.evaluation.labelled_sources import Source
from vicmae_mm.evaluation.logistic_regression import IGNORE
from vicmae_mm.evaluation.protocol import MAP_11
from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError

from .tasks import Task


def open_task(task: Task, data_root: str | Path, size: int | tuple[int, int],
              clip_length: int | None = None) -> Source:
    """Open a dataset of Table 3 in ``data_root``, with images of side ``size`` for the encoder.

    They are images whatever ``clip_length``.

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
