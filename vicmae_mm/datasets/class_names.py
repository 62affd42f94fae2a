"""Giving a class the same label in several datasets."""
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from vicmae_mm.utils.errors import InputError, some_of

from .class_labels import LABEL_KEYS, ClassLabels

_WORDNET_ID = re.compile(r'n\d{8}')


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


def quoted(names: Collection[str], most: int = 3) -> str:
    """Some names in quotes, which show spaces at their ends."""
    return some_of([*map(repr, sorted(names))], most)


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
        key = next(key for key in LABEL_KEYS if key in record)
        old = record[key]
        record[key] = [labels[one] for one in old] if isinstance(old, Iterable) else labels[old]
    dataset.data_list = records
    if dataset.serialize_data:
        dataset.data_bytes, dataset.data_address = dataset._serialize_data()
    dataset._metainfo['classes'] = tuple(classes)
    if getattr(dataset, 'folder_to_idx', None):
        dataset.folder_to_idx = {
            name: labels[label] for name, label in dataset.folder_to_idx.items()}
