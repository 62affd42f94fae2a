"""The labels that a dataset gives to its samples, and its names for the classes."""
import os.path as osp
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from mmengine.dataset import BaseDataset

from vicmae_mm.utils.errors import InputError

LABEL_KEYS = ('gt_label', 'label')  # of mmpretrain's and of mmaction2's records
_PATH_KEYS = ('img_path', 'filename', 'frame_dir')


@dataclass(frozen=True)
class ClassLabels:
    """The labels of one dataset; what is not known is empty."""

    origin: str  # where they come from, for messages
    classes: tuple[str, ...]  # names by label (``metainfo['classes']``)
    used: list[int] = field(default_factory=list)  # that occur, ascending
    class_folders: Mapping[str, int] = field(default_factory=dict)  # labels of these folders
    # Of each folder at the top of the paths, if each has one label and no two have the same.
    top_folders: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f'{self.origin[:1].upper()}{self.origin[1:]}'


def class_labels(dataset: BaseDataset, split: str) -> ClassLabels:
    """Read the labels of every record, without the pipeline; ``split`` is named in messages.

    Raises:
        ValueError: Samples have no label, a hidden folder is a class, or labels have no name.
    """
    prefixes = [f'{prefix.rstrip("/")}/' for prefix in dataset.data_prefix.values() if prefix]
    used: set[int] = set()
    by_folder: dict[str, set[int]] = defaultdict(set)
    unlabelled = 0
    for index in range(len(dataset)):
        # The record as listed: mmaction2's datasets turn several labels into a vector.
        info = BaseDataset.get_data_info(dataset, index)
        labels = _labels_of(info)
        unlabelled += any(label < 0 for label in labels)
        used.update(labels)
        if folder := _top_folder(info, prefixes):
            by_folder[folder].update(labels)
    tops = {name: min(labels) for name, labels in by_folder.items() if len(labels) == 1}
    distinct = 1 < len(tops) == len(by_folder) == len(set(tops.values()))
    source = (dataset.ann_file or ', '.join(dataset.data_prefix.values())).rstrip('/')
    result = ClassLabels(
        origin=f'the {split} data in {source}',
        classes=tuple(dataset.metainfo.get('classes') or ()), used=sorted(used),
        class_folders=getattr(dataset, 'folder_to_idx', None) or {},
        top_folders=tops if distinct else {})
    if unlabelled:
        raise InputError(f'{result} have no label for {unlabelled:,} of {len(dataset):,} samples: '
                         'provide a list with one "path label" per line, labels starting at 0, or '
                         'class folders.')
    _check(result)
    return result


def _check(labels: ClassLabels) -> None:
    hidden = next((name for name in labels.class_folders if name.startswith('.')), '')
    if hidden:
        raise InputError(f'{labels} take the hidden folder {hidden!r} for a class: remove it, or '
                         'use vicmae_mm.LabelledImages, which leaves hidden folders out.')
    if labels.classes and labels.used and labels.used[-1] >= len(labels.classes):
        raise InputError(f'{labels} have labels up to {labels.used[-1]:,}, but names for '
                         f'{len(labels.classes):,} classes only: correct the list, which counts '
                         'from 0, or classes of the dataset.')


def _labels_of(info: Mapping[str, Any]) -> list[int]:
    """The labels of a record, -1 if it has none."""
    label = next((info[key] for key in LABEL_KEYS if info.get(key) is not None), -1)
    several = label if isinstance(label, Iterable) else [label]
    return [int(one) for one in several if isinstance(one, Integral)]


def _top_folder(info: Mapping[str, Any], prefixes: Sequence[str]) -> str:
    path = next((info[key] for key in _PATH_KEYS if isinstance(info.get(key), str)), '')
    for prefix in prefixes:
        path = path.removeprefix(prefix)
    return '' if osp.isabs(path) or '/' not in path else path.partition('/')[0]
