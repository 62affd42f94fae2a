"""The labels and names of a dataset's classes, and giving a class the same label in several."""
import logging
import os.path as osp
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from vicmae_mm.utils.errors import InputError, quoted

_LABEL_KEYS = ('gt_label', 'label')  # of mmpretrain's and of mmaction2's records
_PATH_KEYS = ('img_path', 'filename', 'frame_dir')
_WORDNET_ID = re.compile(r'n\d{8}')


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
    if hidden := next((name for name in result.class_folders if name.startswith('.')), ''):
        raise InputError(f'{result} take the hidden folder {hidden!r} for a class: remove it, or '
                         'use vicmae_mm.LabelledImages, which leaves hidden folders out.')
    if result.classes and result.used and result.used[-1] >= len(result.classes):
        raise InputError(f'{result} have labels up to {result.used[-1]:,}, but names for '
                         f'{len(result.classes):,} classes only: correct the list, which counts '
                         'from 0, or classes of the dataset.')
    return result


def _labels_of(info: Mapping[str, Any]) -> list[int]:
    """The labels of a record, -1 if it has none."""
    label = next((info[key] for key in _LABEL_KEYS if info.get(key) is not None), -1)
    several = label if isinstance(label, Iterable) else [label]
    return [int(one) for one in several if isinstance(one, Integral)]


def _top_folder(info: Mapping[str, Any], prefixes: Sequence[str]) -> str:
    path = next((info[key] for key in _PATH_KEYS if isinstance(info.get(key), str)), '')
    for prefix in prefixes:
        path = path.removeprefix(prefix)
    return '' if osp.isabs(path) or '/' not in path else path.partition('/')[0]


def align_classes(dataset: BaseDataset, labels: ClassLabels, reference: ClassLabels) -> bool:
    """Give samples with ``labels`` those that ``reference`` has for the names of their classes.

    The reference is the training data, or names that a checkpoint records. Returns whether labels
    had to be changed, since classes are missing or in another order.

    Raises:
        ValueError: A class has a name that the reference lacks, or two have the same.
    """
    found, known = comparable_names(labels, reference)
    if found == known:
        return False
    unknown, missing = set(found) - set(known), set(known) - set(found)
    if unknown or set(labels.used) - set(found.values()):
        twice = {name for name in labels.classes if labels.classes.count(name) > 1}
        raise InputError(
            f'{labels} have the class {quoted(unknown or twice)}, which {reference.origin} lack '
            f'(those have {quoted(missing or known)}). Names must agree, also in upper and lower '
            'case and in spaces. If they are other names for the same classes, set classes of the '
            'dataset.')
    _relabel(dataset, {label: known[name] for name, label in found.items()}, reference.classes)
    what = f'lack the class {quoted(missing)}' if missing else 'have the classes in another order'
    print_log(f'{labels} {what}: they get the labels that {reference.origin} have for their '
              'classes.', 'current', logging.WARNING)
    return True


def comparable_names(labels: ClassLabels, reference: ClassLabels
                     ) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Labels by name of two datasets: of class folders if both have them, else of classes.

    Empty if only one has names, or both have the same.
    """
    if labels.class_folders and reference.class_folders:
        return labels.class_folders, reference.class_folders
    if not (labels.classes and reference.classes) or _same_names(
            labels.classes, reference.classes):
        return {}, {}
    found, known = ({name: label for label, name in enumerate(names)}
                    for names in (labels.classes, reference.classes))
    return found, known


def check_same_labels(labels: ClassLabels, reference: ClassLabels) -> None:
    """Refuse lists that number the classes differently from the training data.

    Raises:
        ValueError: A folder has another label there, or all labels are shifted.
    """
    known = reference.class_folders or reference.top_folders
    for name, label in (labels.class_folders or labels.top_folders).items():
        if known.get(name, label) != label:
            raise InputError(f'{labels} have the label {label} for the folder {name!r}, '
                             f'{reference.origin} the label {known[name]}: correct the list.')
    shifts = {label - other for label, other in zip(labels.used, reference.used, strict=False)}
    if len(labels.used) == len(reference.used) > 1 and len(shifts) == 1 and shifts != {0}:
        raise InputError(f'{labels} have labels from {labels.used[0]}, {reference.origin} from '
                         f'{reference.used[0]}: both should count from 0.')


def _same_names(some: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two lists name the same classes; ImageNet has numbers and words for its 1000."""
    if list(some) == list(other):
        return True
    from mmpretrain.datasets.categories import IMAGENET_CATEGORIES
    words = tuple(IMAGENET_CATEGORIES)
    ids = next((a for a, b in ((some, other), (other, some)) if tuple(b) == words), ())
    return len(ids) == len(words) and list(ids) == sorted(ids) and all(
        map(_WORDNET_ID.fullmatch, ids))


def _relabel(dataset: BaseDataset, labels: Mapping[int, int], classes: Sequence[str]) -> None:
    """Replace the labels of every record, and the names of the classes."""
    records = [BaseDataset.get_data_info(dataset, index) for index in range(len(dataset))]
    for record in records:
        key = next(key for key in _LABEL_KEYS if key in record)
        old = record[key]
        record[key] = [labels[one] for one in old] if isinstance(old, Iterable) else labels[old]
    dataset.data_list = records
    if dataset.serialize_data:
        dataset.data_bytes, dataset.data_address = dataset._serialize_data()
    dataset._metainfo['classes'] = tuple(classes)
    if getattr(dataset, 'folder_to_idx', None):
        dataset.folder_to_idx = {
            name: labels[label] for name, label in dataset.folder_to_idx.items()}
