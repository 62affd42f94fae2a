"""Parts of ImageNet's training set that hold the same share of every class."""
import hashlib
import os
import os.path as osp
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from .progress import FileProgress

# Those that mmpretrain's ImageNet looks for in class folders.
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')
LINE = re.compile(r'(?P<path>.*\S)\s+(?P<label>\d+)', re.ASCII)

Image = tuple[str, int]  # path as in the list, label


def list_images(source: str) -> list[Image]:
    """The images of a folder of class folders, or of a list; sorted by label, then path.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        ValueError: See :func:`scan_class_folders` and :func:`read_list`.
    """
    if not osp.exists(source):
        raise FileNotFoundError(
            f'{source!r} does not exist: give the folder that holds a folder for each class, or '
            'a list with "path label" a line.')
    images = scan_class_folders(source) if osp.isdir(source) else read_list(source)
    return sorted(images, key=lambda image: (image[1], image[0]))


def scan_class_folders(root: str) -> list[Image]:
    """Images at any depth of the class folders, which are numbered in sorted order.

    Paths are relative to ``root``. Hidden files and folders are left out, links are followed.

    Raises:
        ValueError: There is no class folder, or one without an image.
    """
    classes = sorted(entry.name for entry in os.scandir(root)
                     if entry.is_dir() and not entry.name.startswith('.'))
    if not classes:
        raise ValueError(f'{root!r} holds no class folders: expected images as in '
                         f"{osp.join(root, 'n01440764', 'n01440764_18.JPEG')!r}.")
    images: list[Image] = []
    empty = []
    with FileProgress(len(classes), 'Listing class folders') as progress:
        for label, name in enumerate(classes):
            found = [osp.join(name, path) for path in _images_in(osp.join(root, name))]
            images += ((path, label) for path in found)
            progress.advance(not found)
            if not found:
                empty.append(name)
    if empty:
        raise ValueError(
            f'{len(empty):,} of the {len(classes):,} class folders in {root!r} hold no image '
            f'({" ".join(EXTENSIONS)}), the first is {empty[0]!r}: fill them, or remove those '
            'that are no classes.')
    return images


def _images_in(folder: str) -> Iterator[str]:
    for parent, subfolders, files in os.walk(folder, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith('.')]
        for name in files:
            if name.lower().endswith(EXTENSIONS) and not name.startswith('.'):
                yield osp.relpath(osp.join(parent, name), folder)


def read_list(path: str) -> list[Image]:
    """Read ``path label`` a line, as mmpretrain's ``CustomDataset`` does; paths may have spaces.

    Raises:
        ValueError: A line is of another form or repeats an image, or there is none.
    """
    lines: dict[str, int] = {}
    images = []
    with open(path, encoding='utf-8-sig', errors='surrogateescape') as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if not line:
                continue
            match = LINE.fullmatch(line)
            if match is None:
                raise ValueError(f'{path}, line {number}: {line!r} is not "path label", with a '
                                 'label of 0, 1, ...')
            first = lines.setdefault(match['path'], number)
            if first != number:
                raise ValueError(f'{path}, line {number}: {match["path"]!r} is in line {first} '
                                 'already.')
            images.append((match['path'], int(match['label'])))
    if not images:
        raise ValueError(f'{path} is empty: expected "path label" a line.')
    return images


def draw_subsets(images: Iterable[Image], percents: Iterable[Decimal],
                 seed: int) -> dict[Decimal, list[Image]]:
    """Draw the same share of every class, at random.

    Of the n images of a class, floor(n x percent / 100) are taken, at least one: the first ones
    in an order that ``seed`` and the paths alone decide. So a smaller subset is part of every
    larger one, and neither the order of ``images`` nor the version of a library matters.

    Args:
        images (Iterable): Path and label of each image.
        percents (Iterable): Above 0, up to 100.
        seed (int): Another one draws other images.

    Returns:
        dict: By percentage, ascending, the images in the order given.
    """
    images = list(images)
    by_class = defaultdict(list)
    for path, label in images:
        by_class[label].append(path)
    for paths in by_class.values():
        paths.sort(key=lambda path: _draw(path, seed))
    subsets = {}
    for percent in sorted(set(percents)):
        chosen = set().union(*(paths[:max(1, int(len(paths) * percent / 100))]
                               for paths in by_class.values()))
        subsets[percent] = [image for image in images if image[0] in chosen]
    return subsets


def _draw(path: str, seed: int) -> bytes:
    """A number that looks random, the same on every machine."""
    return hashlib.sha256(f'{seed} {path}'.encode(errors='surrogateescape')).digest()


def class_sizes(images: Sequence[Image]) -> list[int]:
    """How many images each class has, in ascending order."""
    counts: dict[int, int] = defaultdict(int)
    for _, label in images:
        counts[label] += 1
    return sorted(counts.values())
