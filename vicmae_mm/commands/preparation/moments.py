"""Moments in Time: the official annotations and the videos on disk."""
import os.path as osp
import re
from collections.abc import Mapping

from vicmae_mm.utils.errors import InputError

from .lists import SplitList, annotation_files, find_folder, match_rows, read_rows, videos_in

# Folder names as unpacked, and those of mmaction2.
FOLDERS = {'train': ('training', 'videos/training'), 'val': ('validation', 'videos/validation')}
CSV_NAMES = {'train': 'trainingSet.csv', 'val': 'validationSet.csv'}
CATEGORIES = 'moments_categories.txt'


def read_categories(path: str) -> dict[str, int]:
    """Read ``moments_categories.txt``: lines of ``name,index``, indices 0, 1, ... in any order.

    Another line, a gap or a repeat is an InputError.
    """
    categories = {}
    for where, row in read_rows(path):
        name, index = ','.join(row[:-1]), row[-1].strip()
        if not name or not re.fullmatch(r'\d{1,9}', index):
            raise InputError(f'{where}: {",".join(row)!r} is not "name,index".')
        categories[name] = int(index)
    if sorted(categories.values()) != list(range(len(categories))) or not categories:
        raise InputError(f'{path}: the indices of its {len(categories)} categories should be '
                         '0, 1, ... without gaps or repeats.')
    return categories


def read_labels(path: str, categories: Mapping[str, int]) -> dict[str, int]:
    """Labels by path without extension, of a csv file: ``class/file.mp4,class,votes,...``.

    No row, or a class that is none of the categories, is an InputError.
    """
    labels = {}
    for where, row in read_rows(path):
        video = row[0].strip()
        name = osp.dirname(video)
        if name not in categories:
            raise InputError(f'{where}: {video!r} should be a path "class/file.mp4" whose class is '
                             f'one of the {len(categories)} in {CATEGORIES}.')
        labels[osp.splitext(video)[0]] = categories[name]
    if not labels:
        raise InputError(f'{path} is empty.')
    return labels


def build_moments_lists(root: str) -> tuple[list[str], list[SplitList]]:
    """List the videos of each split that has both a folder with videos and a csv file.

    Returned are class names in the order of their labels, and one list per split. Raises
    FileNotFoundError if there are no categories or splits, InputError if none of the videos of a
    csv file is on disk.
    """
    files = {osp.basename(path): path for path in reversed(annotation_files(root))}
    if CATEGORIES not in files:
        raise FileNotFoundError(f'No {CATEGORIES} in {root!r} or its folder annotations: copy it '
                                'there; it is part of the dataset and numbers the classes.')
    categories = read_categories(files[CATEGORIES])
    lists = []
    for split, names in FOLDERS.items():
        folder = find_folder(root, names, 'set ROOT to a folder that contains only one of them')
        table = files.get(CSV_NAMES[split])
        if not (folder and table and (paths := videos_in(folder))):
            continue
        labels = read_labels(table, categories)
        found = {osp.splitext(path)[0]: path for path in reversed(paths)}
        unlisted = {*paths} - {path for key, path in found.items() if key in labels}
        lists.append(match_rows(split, folder, labels, found, unlisted, "'class/file.mp4'"))
    if not lists:
        raise FileNotFoundError(
            f'No split of Moments in Time in {root!r}: expected the folder training (or '
            'videos/training) with trainingSet.csv, or validation with validationSet.csv; the csv '
            'files may be in annotations.')
    return sorted(categories, key=categories.__getitem__), lists
