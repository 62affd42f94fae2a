"""Where labelled images and videos come from: class folders, a list, or a dataset's config."""
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import torch

from vicmae_mm.datasets.annotations.image_lists import EXTENSIONS, scan_classes
from vicmae_mm.datasets.annotations.video_lists import VIDEO_EXTENSIONS
from vicmae_mm.datasets.innermost import build_inner
from vicmae_mm.utils.errors import InputError

from .images import Images, is_video
from .protocol import TOP_1, hold_out

FOLDERS = ('train', 'val', 'test')
_EXTENSIONS = (*EXTENSIONS, *VIDEO_EXTENSIONS)


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


def open_labelled(name: str, setting: Any, size: Any, clip_length: int | None = None) -> Source:
    """Open labelled images or videos, to be scored by top-1; ``size`` as in :class:`Images`.

    ``setting`` is ``folder/{train,[val,]test}/<class>/<image>``; without ``test``, ``val`` is
    tested on. Without a test part, a fifth of each class is held out: ``folder/<class>/<image>``,
    a list of ``path label``, relative to its folder, or the config of a dataset. Or it is
    ``dict(train=..., test=...)`` of these three or of :class:`Images`. A ValueError is raised if
    images, labels or classes are missing, or a list or a dataset is refused.
    """
    if isinstance(setting, Mapping) and {*setting} == {'train', 'test'}:
        train, test = (_open_part(setting[part], size, clip_length) for part in ('train', 'test'))
        if train.classes != test.classes or {*test.targets.tolist()} - {*train.targets.tolist()}:
            raise InputError(f'train and test of {dict(setting)} should have the same classes.')
        return Source(name, TOP_1, int(train.targets.max()) + 1, train, None, test)
    folder = Path('' if isinstance(setting, Mapping) else setting).expanduser()
    if str(folder) != '.' and folder.is_dir() and (
            any((folder / split).is_dir() for split in FOLDERS) or
            not any(path.suffix.lower() in _EXTENSIONS for path in folder.glob('*/**/*'))):
        return _open_splits(name, folder, size, clip_length)
    images = _open_part(setting, size, clip_length)
    train, test = hold_out(images)
    return Source(name, TOP_1, int(images.targets.max()) + 1, train, None, test,
                  'tested on a fifth of each class')


def open_pairs(setting: Any, size: Any, clip_length: int | None = None) -> list[Images]:
    """Frames, or clips, at one and at three quarters of videos; targets number the videos.

    ``setting`` is a folder, a list or the config of a dataset of videos. Errors and the other
    arguments are those of :func:`open_labelled`.
    """
    infos, _ = open_dataset(setting, 'video', type='vicmae_mm.VideoPairDataset')
    names = [info.get('filename', '') for info in infos]
    if len(names) < 2 or not all(map(is_video, names)):
        raise InputError(f'{setting} should be of video files, two or more.')
    return [Images([dict(img_path=name, position=position) for name in names],
                   torch.arange(len(names)), size, clip_length=clip_length)
            for position in (0.25, 0.75)]


def _open_splits(name: str, folder: Path, size: Any, clip_length: int | None) -> Source:
    has_test = (folder / 'test').is_dir() or not (folder / 'val').is_dir()
    splits = FOLDERS if has_test else ('train', '', 'val')
    files = [_class_folder_files(folder / split) if split else [] for split in splits]
    train, val, test = (sorted({Path(path).parts[0] for path in part}) for part in files)
    if len(train) < 2 or not test:
        raise InputError(
            f'missing: {folder} should contain <class>/<image>, or train/<class>/<image>, '
            'test/<class>/<image> and, optionally, val/<class>/<image>, of two classes or more; '
            f'train has {len(train)}, test {len(test)}.')
    # Quotes where spaces would not be seen.
    unknown = [name if name == name.strip() else repr(name)
               for name in sorted({*val, *test} - {*train})]
    if unknown:
        raise InputError(f'{folder} has class folders that are missing in train: '
                         f'{", ".join(unknown[:3])}.')
    numbers = {name: number for number, name in enumerate(train)}
    parts = [Images([dict(img_path=str(folder / split / path)) for path in paths],
                    torch.tensor([numbers[Path(path).parts[0]] for path in paths]),
                    size, train, clip_length) for split, paths in zip(splits, files, strict=True)]
    return Source(name, TOP_1, len(train), parts[0], parts[1] if val else None, parts[2],
                  '' if has_test else 'tested on val')


def _open_part(setting: Any, size: Any, clip_length: int | None) -> Images:
    """Images of one split, of two classes or more, each with one label."""
    if isinstance(setting, Images):
        return setting
    infos, classes = open_dataset(
        setting, 'img_path', type='vicmae_mm.LabelledImages', extensions=_EXTENSIONS)
    labels: list[Any] = [info.get('gt_label', info.get('label')) for info in infos]
    if not all(isinstance(label, Integral) and int(label) >= 0 for label in labels) or (
            len({*labels}) < 2):
        raise InputError(f'{setting}: each image needs one label, a number from 0, and there '
                         'should be two classes or more.')
    return Images([{'img_path': info.get('filename', ''), **info} for info in infos],
                  torch.tensor([*map(int, labels)]), size, classes, clip_length)


def open_dataset(setting: Any, prefix: str = '', **own: Any) -> tuple[list[dict[str, Any]], Any]:
    """Records and classes of a dataset, of its config, or our ``own`` of a list or folder."""
    if not isinstance(setting, Mapping):
        path = Path(setting).expanduser()
        if not setting or not path.exists():
            raise InputError(f'There is no file or folder {str(setting)!r} to probe on.')
        is_list = path.is_file()
        setting = dict(own, allow_outside_root=True, ann_file=str(path) if is_list else '',
                       data_prefix={prefix: str(path.parent if is_list else path)})
    dataset = build_inner('dataset', setting)
    return ([dataset.get_data_info(index) for index in range(len(dataset))],
            dataset.metainfo.get('classes'))


def _class_folder_files(folder: Path) -> list[str]:
    """Paths ``<class>/<file>`` in a folder; empty if it has no class folders."""
    if not any(path.is_dir() and not path.name.startswith('.') for path in folder.glob('*')):
        return []
    return [path for path, _ in scan_classes(str(folder), extensions=_EXTENSIONS)]
