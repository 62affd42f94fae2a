"""Labelled images: from class folders or from a list."""
import os
import os.path as osp
from collections.abc import Callable, Iterable, Iterator, Sequence

from vicmae_mm.utils.errors import InputError

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
        raise InputError(f'{folder} holds no class folders: what is wanted is {folder}/CLASS/*.jpg '
                         'or, for images in one folder, a list (--ann-file).')
    images: list[Image] = []
    for label, name in enumerate(track(classes)):
        found = [osp.relpath(path, folder) for path in _images_in(osp.join(folder, name))]
        if not found:
            raise InputError(f'{osp.join(folder, name)} holds no images '
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
                raise InputError(f'{path}, line {number}: {line.strip()!r} is not "path label" '
                                 'with a label from 0 on.')
            images.append((name, int(label)))
    if not images:
        raise InputError(f'{path} is empty.')
    return images
