"""Where labelled images and videos come from: class folders, a list, or a dataset's config."""
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vicmae_mm.datasets.annotations.image_lists import EXTENSIONS, scan_classes
from vicmae_mm.datasets.annotations.video_lists import (
    VIDEO_EXTENSIONS,
    find_missing,
    read_annotations,
)
from vicmae_mm.datasets.innermost import build_inner
from vicmae_mm.utils.errors import InputError

from .images import DatasetProblem, Images
from .protocol import TOP_1, held_out

FOLDERS = ('train', 'val', 'test')


@dataclass(frozen=True)
class Source:
    """An opened dataset.

    Without ``val``, part of ``train`` is held out to choose the penalty on. ``remark`` says how
    the dataset differs from the published one, if it does, or what is tested on.
    """

    name: str
    metric: str
    num_classes: int
    train: Images
    val: Images | None
    test: Images
    remark: str = ''


def open_class_folders(name: str, folder: Path, size: Any,
                       clip_length: int | None = None) -> Source:
    """Open class folders of images and videos, to be scored by top-1.

    ``folder/{train,[val,]test}/<class>/<image>``. Without ``test``, ``val`` is tested on; without
    any of the three, a fifth of each class of ``folder/<class>/<image>``.

    Args:
        name: Of the source.
        folder: The folder.
        size: As in :class:`Images`, as is ``clip_length``.

    Raises:
        DatasetProblem: If images or classes are missing.
    """
    train, val, test = (_class_folder_files(folder / split) for split in FOLDERS)
    remark, problem = '', ''
    if not any((folder / split).is_dir() for split in FOLDERS):
        try:
            return split_source(name, _open_part(str(folder), size, clip_length))
        except DatasetProblem as error:
            problem = f' Without these: {error}'
    if val and not test and not (folder / 'test').exists():
        val, test, remark = [], val, 'tested on val'
    classes = sorted({_class_of(path) for path in train})
    if len(classes) < 2 or not test:
        raise DatasetProblem(
            f'missing: {folder} should contain train/<class>/<image>, test/<class>/<image> and, '
            'optionally, val/<class>/<image>, of two classes or more; train has '
            f'{len(classes)}, test {len({_class_of(path) for path in test})}.{problem}')
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
                      classes, clip_length)

    tested = 'val' if remark else 'test'
    return Source(name, TOP_1, len(classes), images('train', train),
                  images('val', val) if val else None, images(tested, test), remark)


def open_labelled(setting: Any, size: Any, clip_length: int | None = None) -> Source:
    """Open what a setting names.

    Args:
        setting: A folder, as in :func:`open_class_folders`; a list with a ``path label`` in each
            line, relative to its folder; the config of a dataset; or ``dict(train=..., test=...)``
            of these (class folders without splits) or of :class:`Images`. Without a test part, a
            fifth of each class is held out.
        size: As in :class:`Images`, as is ``clip_length``.

    Raises:
        DatasetProblem: If images, labels or classes are missing.
        ValueError: If the setting is of another kind.
    """
    if isinstance(setting, str) and Path(setting).expanduser().is_dir() and setting:
        return open_class_folders(setting, Path(setting).expanduser(), size, clip_length)
    if not isinstance(setting, Mapping) or 'type' in setting:
        return split_source(str(setting), _open_part(setting, size, clip_length))
    if {*setting} != {'train', 'test'}:
        raise InputError(f'{dict(setting)} should be the config of a dataset, with its type, or '
                         'dict(train=..., test=...).')
    train, test = (_open_part(setting[part], size, clip_length) for part in ('train', 'test'))
    if train.classes and test.classes and [*train.classes] != [*test.classes]:
        raise DatasetProblem('the classes of train and test have different names.')
    if unknown := {*test.targets.tolist()} - {*train.targets.tolist()}:
        raise DatasetProblem(f'train has no image of the classes {sorted(unknown)[:4]} of test.')
    return Source('train and test', TOP_1, int(train.targets.max()) + 1, train, None, test)


def split_source(name: str, images: Images) -> Source:
    """Hold out a fifth of each class to test on."""
    held = held_out(images.targets)
    train, test = (subset(images, chosen.nonzero().flatten()) for chosen in (~held, held))
    return Source(name, TOP_1, int(images.targets.max()) + 1, train, None, test,
                  'tested on a fifth of each class')


def subset(images: Images, chosen: Tensor) -> Images:
    """The images at some indices (M,)."""
    return Images([images.records[index] for index in chosen.tolist()], images.targets[chosen],
                  images.size, images.classes, images.clip_length)


def balanced(targets: Tensor, most: int) -> Tensor:
    """Ascending indices of at most ``most`` samples, of each class as many as of others."""
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    seen: Counter[int] = Counter()
    rounds = []
    for label in targets[order].tolist():
        rounds.append(seen[label])
        seen[label] += 1
    return order[torch.tensor(rounds).argsort(stable=True)[:most]].sort().values


def _open_part(setting: Any, size: Any, clip_length: int | None) -> Images:
    """Images of one split, of two classes or more, each with one label."""
    if isinstance(setting, Images):
        return setting
    classes: Sequence[str] | None = None
    labels: list[Any]
    if isinstance(setting, Mapping):
        dataset = build_inner('images', setting)
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        records = [dict(img=info['img']) if 'img' in info else dict(
            img_path=info.get('img_path') or info.get('filename') or '') for info in infos]
        labels = [info.get('gt_label', info.get('label')) for info in infos]
        classes = dataset.metainfo.get('classes')
    elif setting and (path := Path(setting).expanduser()).is_dir():
        names = _class_folder_files(path)
        classes = sorted({*map(_class_of, names)})
        records = [dict(img_path=str(path / name)) for name in names]
        labels = [classes.index(_class_of(name)) for name in names]
    elif setting and path.is_file():
        files = read_annotations(str(path), str(path.parent))
        records = [dict(img_path=str(path.parent / name)) for name, _ in files]
        labels = [label for _, label in files]
        if missing := find_missing([(record['img_path'], 0) for record in records])[0]:
            raise DatasetProblem(f'missing: {setting} names {missing[0]}, which does not exist.')
    else:
        raise DatasetProblem(f'missing: there is no file or folder {str(setting)!r}.')
    if not all(isinstance(label, Integral) and int(label) >= 0 for label in labels):
        raise DatasetProblem(f'{setting} has images without a label, or with several: each needs '
                             'one, a number from 0.')
    if not all(record.get('img_path', True) for record in records):
        raise DatasetProblem(f'{setting} has neither image or video files nor arrays.')
    if len({*labels}) < 2:
        raise DatasetProblem(f'{setting} should have two classes or more, but has {len({*labels})}'
                             ': folders of images, or labels in a list.')
    return Images(records, torch.tensor([*map(int, labels)]), size, classes, clip_length)


def _class_folder_files(folder: Path) -> list[str]:
    """Paths ``<class>/<file>`` in a folder; empty if it has no class folders."""
    if not any(path.is_dir() and not path.name.startswith('.') for path in folder.glob('*')):
        return []
    try:
        return [path for path, _ in scan_classes(
            str(folder), extensions=(*EXTENSIONS, *VIDEO_EXTENSIONS))]
    except ValueError as error:
        raise DatasetProblem(str(error)) from error


def _class_of(path: str) -> str:
    return Path(path).parts[0]
