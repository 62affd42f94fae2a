"""Class-stratified, nested subsets of labelled images, for Table 10."""
import os
import os.path as osp
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from .lists import write_lines

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')  # mmpretrain's

Image = tuple[str, int]  # path relative to the folder of the images, label


def scan_classes(folder: str,
                 track: Callable[[Sequence[str]], Iterable[str]] = iter) -> list[Image]:
    """The images in class folders; labels count the folders in sorted order, as mmpretrain's.

    Images may lie at any depth. Links are followed. Hidden files and folders are left out: one
    counted as a class would shift the labels of those after it.

    Args:
        folder: Folder of the class folders.
        track: Wraps the names of the classes, to show progress.

    Raises:
        OSError: If the folder cannot be read.
        ValueError: If there are no class folders, or one is without images.
    """
    classes = sorted(entry.name for entry in os.scandir(folder)
                     if entry.is_dir() and not entry.name.startswith('.'))
    if not classes:
        raise ValueError(f'{folder} holds no class folders: what is wanted is {folder}/CLASS/*.jpg '
                         'or, for images in one folder, a list (--ann-file).')
    images: list[Image] = []
    for label, name in enumerate(track(classes)):
        found = [osp.relpath(path, folder) for path in _images_in(osp.join(folder, name))]
        if not found:
            raise ValueError(f'{osp.join(folder, name)} holds no images '
                             f'({", ".join(EXTENSIONS)}): remove the folder or fill it.')
        images += [(path, label) for path in sorted(found)]
    return images


def _images_in(folder: str) -> Iterator[str]:
    for place, subfolders, files in os.walk(folder, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith('.')]
        for name in files:
            if name.lower().endswith(EXTENSIONS) and not name.startswith('.'):
                yield osp.join(place, name)


def read_list(path: str) -> list[Image]:
    """Read ``path label`` a line.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If a line is something else, or there is none.
    """
    images: list[Image] = []
    with open(path, encoding='utf-8-sig', errors='surrogateescape') as file:
        for number, line in enumerate(file, 1):
            name, _, label = line.strip().rpartition(' ')
            if not name or not label.isdecimal():
                raise ValueError(f'{path}, line {number}: {line.strip()!r} is not "path label" '
                                 'with a label from 0 on.')
            images.append((name, int(label)))
    if not images:
        raise ValueError(f'{path} is empty.')
    return images


def nested_subsets(images: Sequence[Image],
                   percentages: Iterable[int],
                   seed: int = 0) -> dict[int, list[Image]]:
    """Draw the same share of every class, each smaller subset within each larger one.

    Of a class of n images, ``floor(n * percentage / 100)`` are taken, at least one. The
    draw depends on the seed, the label and the paths of the class alone.

    Args:
        images: Paths and labels, in any order.
        percentages: Shares, 1 to 100.
        seed: Seed of the draw.

    Returns:
        Images by percentage, sorted by label and path.

    Raises:
        ValueError: If a percentage is out of range or an image is listed twice.
    """
    twice = [path for path, count in Counter(path for path, _ in images).items() if count > 1]
    if twice:
        raise ValueError(f'{twice[0]} is listed twice.')
    by_label: dict[int, list[str]] = defaultdict(list)
    for path, label in images:
        by_label[label].append(path)
    for label, paths in by_label.items():
        paths.sort()
        random.Random(f'{seed} {label}').shuffle(paths)
    subsets = {}
    for percentage in percentages:
        if not 1 <= percentage <= 100:
            raise ValueError(f'{percentage} % is no share of the data: choose 1 to 100.')
        subsets[percentage] = sorted(
            ((path, label) for label, paths in by_label.items()
             for path in paths[:max(1, len(paths) * percentage // 100)]),
            key=lambda image: (image[1], image[0]))
    return subsets


def write_subset(folder: str, percentage: int, images: Sequence[Image]) -> str:
    """Write ``train_<percentage>pct.txt``, the name that the configs read; returns its path."""
    os.makedirs(folder, exist_ok=True)
    path = osp.join(folder, f'train_{percentage:03d}pct.txt')
    write_lines(path, (f'{name} {label}' for name, label in images))
    return path
