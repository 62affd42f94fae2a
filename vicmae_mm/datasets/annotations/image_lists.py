"""Lists of labelled images, read from a file or from class folders."""
import os
import os.path as osp
from collections.abc import Callable, Iterable, Iterator, Sequence

from vicmae_mm.utils.errors import InputError

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')  # mmpretrain's

Image = tuple[str, int]  # path relative to the folder of the images, label


def scan_classes(folder: str,
                 track: Callable[[Sequence[str]], Iterable[str]] = iter) -> list[Image]:
    """Find the images in class folders, at any depth; the sorted names of the folders are labels.

    Links are followed. ``track`` wraps the class names to show progress.

    Raises:
        OSError: The folder cannot be read.
        ValueError: There are no class folders, or one contains no images.
    """
    # Hidden folders are not classes: each would shift the labels of those after it.
    classes = sorted(entry.name for entry in os.scandir(folder)
                     if entry.is_dir() and not entry.name.startswith('.'))
    if not classes:
        raise InputError(f'{folder} contains no class folders: expected {folder}/CLASS/*.jpg or, '
                         'for images in a single folder, a list (--ann-file).')
    images: list[Image] = []
    for label, name in enumerate(track(classes)):
        found = [osp.relpath(path, folder) for path in _images_in(osp.join(folder, name))]
        if not found:
            raise InputError(f'{osp.join(folder, name)} contains no images '
                             f'({", ".join(EXTENSIONS)}): remove the folder or add some.')
        images += [(path, label) for path in sorted(found)]
    return images


def _images_in(folder: str) -> Iterator[str]:
    for parent, subfolders, files in os.walk(folder, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith('.')]
        for name in files:
            if name.lower().endswith(EXTENSIONS) and not name.startswith('.'):
                yield osp.join(parent, name)


def read_list(path: str) -> list[Image]:
    """Read a list with one ``path label`` per line; labels start at 0.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is empty or has a different line.
    """
    images: list[Image] = []
    with open(path, encoding='utf-8-sig', errors='surrogateescape') as file:
        for number, line in enumerate(file, 1):
            name, _, label = line.strip().rpartition(' ')
            if not name or not label.isdecimal():
                raise InputError(f'{path}, line {number}: {line.strip()!r} is not `path label`. '
                                 'Provide a list with one `path label` per line; labels start '
                                 'at 0.')
            images.append((name, int(label)))
    if not images:
        raise InputError(f'{path} is empty: it should have one `path label` per line.')
    return images
