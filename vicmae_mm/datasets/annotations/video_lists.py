"""Lists of videos: from a text list, a csv file or a folder."""
import csv
import os
import re
from collections.abc import Iterable, Iterator

import numpy as np

from vicmae_mm.utils.errors import InputError

VIDEO_EXTENSIONS = (
    '.3gp', '.asf', '.avi', '.flv', '.m2ts', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg',
    '.mts', '.ogv', '.ts', '.vob', '.webm', '.wmv')

PATH_COLUMNS = ('path', 'filename', 'video', 'video_path')
LABEL_COLUMN = 'label'
NO_LABEL = -1

_INTEGER = re.compile(r'[+-]?\d+')
_VIDEO_THEN_MORE = re.compile(
    r'(?P<path>.*(?:' + '|'.join(map(re.escape, VIDEO_EXTENSIONS)) + r'))\s+(?P<rest>\S.*)', re.I)

Video = tuple[str, int]


def read_annotations(ann_file: str) -> list[Video]:
    """Read the videos of a list or csv file.

    A list (any extension but ``.csv``) has one video a line, ``path label`` or just ``path``.
    The last word of a line is the label if it is an integer; otherwise the whole line is the
    path and the video has no label. Paths may contain spaces. (A path whose name ends in a
    space and a number needs a label behind it.)

    A ``.csv`` file is split at commas, semicolons or tabs: the first of the three that its
    first line contains; a first line without any of them is read as a list. With a header,
    the columns called ``label`` and ``path`` (or ``filename``, ``video``, ``video_path``) count;
    without one, the first column is the path and the second, if any, the label.

    Both are UTF-8; empty lines are skipped.

    Args:
        ann_file (str): Path of the file.

    Returns:
        list[tuple[str, int]]: Path as written and label, -1 where there is none.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no video, is not UTF-8, or a label is no integer.
    """
    if not os.path.isfile(ann_file):
        what = 'is a folder' if os.path.isdir(ann_file) else 'does not exist'
        raise FileNotFoundError(
            f'The list of videos {ann_file!r} {what}. Set ann_file to a text list ("path label" '
            'or "path" a line) or a .csv file; to read every video of a folder, leave ann_file '
            "empty and set data_prefix=dict(video='the/folder').")
    try:
        with open(ann_file, encoding='utf-8-sig', newline='') as file:
            first = next((line for line in file if line.strip()), '')
            file.seek(0)
            delimiter = next((mark for mark in ',;\t' if mark in first), None)
            if ann_file.lower().endswith('.csv') and delimiter:
                videos = list(_read_csv(file, ann_file, delimiter))
            else:
                videos = list(_read_list(file, ann_file))
    except UnicodeDecodeError as error:
        raise InputError(f'The list of videos {ann_file!r} is not UTF-8 text ({error}): save it as '
                         'such, with the names that the files have.') from error
    if not videos:
        raise InputError(f'The list of videos {ann_file!r} is empty: it should have one video a '
                         'line, "path label" or just "path".')
    return videos


def _read_list(lines: Iterable[str], ann_file: str) -> Iterator[Video]:
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line:
            continue
        path, label = line, NO_LABEL
        words = line.rsplit(None, 1)
        if len(words) == 2 and _INTEGER.fullmatch(words[1]):
            path, label = words[0], int(words[1])
        if not path.lower().endswith(VIDEO_EXTENSIONS):
            extra = _VIDEO_THEN_MORE.fullmatch(path)
            if extra:
                raise InputError(
                    f'{ann_file}, line {number}: {extra["rest"]!r} follows the path '
                    f'{extra["path"]!r}, expected one integer label or nothing. Map class names '
                    'to integers first, or leave the labels out: pre-training needs none.')
        yield path, label


def _read_csv(lines: Iterable[str], ann_file: str, delimiter: str) -> Iterator[Video]:
    reader = csv.reader(lines, delimiter=delimiter)
    columns: tuple[int, int | None] | None = None
    for row in reader:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if columns is None:
            header = _header_columns(cells)
            columns = header or (0, 1)
            if header:
                continue
        path_column, label_column = columns
        where = f'{ann_file}, line {reader.line_num}'
        path = cells[path_column] if path_column < len(cells) else ''
        if not path:
            raise InputError(f'{where}: no path in column {path_column + 1}: {row!r}.')
        label = ''
        if label_column is not None and label_column < len(cells):
            label = cells[label_column]
        if label and not _INTEGER.fullmatch(label):
            raise InputError(
                f'{where}: the label {label!r} is no integer. Map class names to integers first, '
                'or leave the column out or empty: pre-training needs no labels.')
        yield path, int(label) if label else NO_LABEL


def _header_columns(cells: list[str]) -> tuple[int, int | None] | None:
    """Columns of path and label if ``cells`` is a header line, else None."""
    names = [cell.lower() for cell in cells]
    path = next((names.index(name) for name in PATH_COLUMNS if name in names), None)
    if path is None:
        return None
    return path, names.index(LABEL_COLUMN) if LABEL_COLUMN in names else None


def scan_folder(root: str, labels_from_folders: bool = False) -> tuple[list[Video], list[str]]:
    """Find every video below a folder, in sorted order.

    Files count by extension (:data:`VIDEO_EXTENSIONS`). Links to folders are followed; hidden
    files and folders are left out.

    Args:
        root (str): The folder.
        labels_from_folders (bool): Number the top-level subfolders that hold videos, in sorted
            order, and label each video by its own. Defaults to False.

    Returns:
        tuple: Paths relative to ``root`` with labels (-1 without ``labels_from_folders``),
        and the names of the classes (empty without).

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It holds no video, or a video without a class.
    """
    if not os.path.isdir(root):
        raise FileNotFoundError(f'The folder of videos {root!r} does not exist. Correct '
                                'data_root and data_prefix, or set ann_file to a list.')
    paths = sorted(_walk(root))
    if not paths:
        raise InputError(f'No video found in {root!r} or its subfolders. Extensions looked for: '
                         f'{" ".join(VIDEO_EXTENSIONS)}.')
    if not labels_from_folders:
        return [(path, NO_LABEL) for path in paths], []
    tops = [path.split(os.sep)[0] for path in paths]
    loose = next((path for path in paths if os.sep not in path), None)
    if loose is not None:
        raise InputError(f'{loose!r} lies directly in {root!r}, so labels_from_folders=True has '
                         'no class for it. Move it into a subfolder named after its class.')
    classes = sorted(set(tops))
    numbers = {name: number for number, name in enumerate(classes)}
    return [(path, numbers[top]) for path, top in zip(paths, tops, strict=True)], classes


def _walk(root: str) -> Iterator[str]:
    seen: set[str] = set()  # real paths, for links that lead back up
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith('.'))
        for name in files:
            if name.lower().endswith(VIDEO_EXTENSIONS) and not name.startswith('.'):
                yield os.path.relpath(os.path.join(folder, name), root)


def find_missing(paths: list[str], max_checks: int = 1000) -> tuple[list[str], int]:
    """Look whether files exist: all, or evenly spread ones of a long list.

    Args:
        paths (list[str]): Files.
        max_checks (int): How many to look at most; 240,000 on a network disk take minutes.

    Returns:
        tuple[list[str], int]: The missing ones among those looked at, and how many those were.
    """
    count = min(len(paths), max_checks)
    chosen = np.linspace(0, len(paths) - 1, count).round().astype(int)
    return [paths[i] for i in chosen if not os.path.isfile(paths[i])], count
