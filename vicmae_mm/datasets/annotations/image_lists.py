"""Labelled images in class folders."""
import logging
import os
import os.path as osp
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from mmengine.logging import print_log

from vicmae_mm.utils.errors import InputError

from .files_below import files_below, report_scan

# mmpretrain's, and .tiff and .webp
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp')

Image = tuple[str, int]  # path relative to the folder of the images, label


def scan_classes(folder: str, track: Callable[[Sequence[str]], Iterable[str]] = iter,
                 extensions: Sequence[str] = EXTENSIONS) -> list[Image]:
    """Find the images in class folders, at any depth; the sorted names of the folders are labels.

    Links are followed. ``track`` wraps the class names to show progress. Raises ValueError if there
    are no class folders, or one contains no images.
    """
    images: list[Image] = []
    ignored: Counter[str] = Counter()
    for label, name in enumerate(track(_class_folders(folder))):
        others: Counter[str] = Counter()
        found = files_below(osp.join(folder, name), extensions, others)
        if not found:
            raise InputError(f'{osp.join(folder, name)} contains no images '
                             f'({", ".join(sorted(extensions))}). Found: '
                             f'{", ".join(sorted(others)) or "nothing"}. Remove the folder or add '
                             'some.')
        images += [(osp.join(name, path), label) for path in found]
        ignored += others
    report_scan(folder, images, 'images', ignored)
    return images


def _class_folders(folder: str) -> list[str]:
    """The sorted names of the folders in a folder, without hidden ones, which are logged."""
    found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    # Each would shift the labels of those after it.
    names = [name for name in found if not name.startswith('.')]
    if hidden := [name for name in found if name.startswith('.')]:
        print_log(f'{folder.rstrip("/")}: hidden folders are not classes: {", ".join(hidden)}',
                  'current', logging.WARNING)
    if not names:
        raise InputError(f'{folder} contains no class folders: expected {folder}/CLASS/*.jpg or, '
                         'for images in a single folder, a list (--ann-file).')
    return names
