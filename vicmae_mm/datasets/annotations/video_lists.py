"""Lists of videos, read from a text list, a csv file or a folder."""
import csv
import logging
import os
import re
from collections.abc import Iterable, Iterator

import numpy as np
from mmengine.logging import print_log

from vicmae_mm.utils.errors import InputError

from .files_below import files_below

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
    """Read the videos of a text list or csv file, both in UTF-8.

    A text list (any extension but ``.csv``) has one ``path label`` or ``path`` per line. The last
    word is the label if it is an integer, so a path that ends in a space and a number needs a
    label. Paths may contain spaces; empty lines are skipped.

    A ``.csv`` file is split at commas, semicolons or tabs, the first of these that its first line
    contains; without any it is read as a text list. With a header, the columns ``path`` (or
    ``filename``, ``video``, ``video_path``) and ``label`` are used; without one, the first
    column is the path and the second, if any, the label.

    Args:
        ann_file (str): Path of the file.

    Returns:
        list[tuple[str, int]]: Path as written, and label or -1.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It names no video, is not UTF-8, or a label is not an integer.
    """
    if not os.path.isfile(ann_file):
        what = 'is a folder' if os.path.isdir(ann_file) else 'does not exist'
        raise FileNotFoundError(
            f'The list of videos {ann_file!r} {what}. Set ann_file to a text list (one `path '
            'label` or `path` per line) or a .csv file; to read every video of a folder, leave '
            "ann_file empty and set data_prefix=dict(video='the/folder').")
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
        raise InputError(f'The list of videos {ann_file!r} is not UTF-8 text ({error}): convert '
                         'it to UTF-8; names must stay those of the files.') from error
    if not videos:
        raise InputError(f'The list of videos {ann_file!r} is empty: it should have one `path '
                         'label` or `path` per line.')
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
        # A class name instead of a label would make the line a path of a file that does not exist.
        if not path.lower().endswith(VIDEO_EXTENSIONS):
            extra = _VIDEO_THEN_MORE.fullmatch(path)
            if extra:
                raise InputError(
                    f'{ann_file}, line {number}: {extra["rest"]!r} follows the path '
                    f'{extra["path"]!r}; expected one integer label or nothing. Map class names '
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
                f'{where}: the label {label!r} is not an integer. Map class names to integers '
                'first, or leave the column out or empty: pre-training needs no labels.')
        yield path, int(label) if label else NO_LABEL


def _header_columns(cells: list[str]) -> tuple[int, int | None] | None:
    """Columns of path and label if this is a header line, else None."""
    names = [cell.lower() for cell in cells]
    path = next((names.index(name) for name in PATH_COLUMNS if name in names), None)
    if path is None:
        return None
    return path, names.index(LABEL_COLUMN) if LABEL_COLUMN in names else None


def scan_folder(root: str, labels_from_folders: bool = False) -> tuple[list[Video], list[str]]:
    """Find all videos below a folder by extension, in sorted order.

    Links to folders are followed; hidden files and folders are skipped.

    Args:
        root (str): The folder.
        labels_from_folders (bool): Label videos by their top-level subfolder; those that contain
            videos are numbered in sorted order. Defaults to False.

    Returns:
        tuple: Paths relative to ``root`` with labels, and the names of the classes; labels are -1
        and there are no names without ``labels_from_folders``.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: It contains no video, or a video that is not in a subfolder.
    """
    if not os.path.isdir(root):
        raise FileNotFoundError(f'The folder of videos {root!r} does not exist. Correct '
                                'data_root and data_prefix, or set ann_file to a list.')
    paths = sorted(files_below(root, VIDEO_EXTENSIONS))
    if not paths:
        raise InputError(f'No video found in {root!r} or its subfolders. Known extensions: '
                         f'{" ".join(VIDEO_EXTENSIONS)}.')
    if not labels_from_folders:
        return [(path, NO_LABEL) for path in paths], []
    tops = [path.split(os.sep)[0] for path in paths]
    loose = next((path for path in paths if os.sep not in path), None)
    if loose is not None:
        raise InputError(f'{loose!r} is directly in {root!r}, so labels_from_folders=True cannot '
                         'label it. Move it into a subfolder named after its class.')
    classes = sorted(set(tops))
    # Their labels would be missing in the middle: other data may have videos of these classes.
    empty = sorted(entry.name for entry in os.scandir(root) if entry.is_dir()
                   and entry.name not in classes and not entry.name.startswith('.'))
    if empty:
        print_log(f'{root}: folders without a video are not classes: {", ".join(empty)}',
                  'current', logging.WARNING)
    numbers = {name: number for number, name in enumerate(classes)}
    return [(path, numbers[top]) for path, top in zip(paths, tops, strict=True)], classes


def find_missing(paths: list[str], max_checks: int = 1000) -> tuple[list[str], int]:
    """Find missing files among at most ``max_checks`` evenly spaced ones of a list.

    Returns:
        tuple[list[str], int]: The missing ones, and how many were checked.
    """
    # Not all: 240,000 look-ups take minutes on a network disk.
    count = min(len(paths), max_checks)
    chosen = np.linspace(0, len(paths) - 1, count).round().astype(int)
    return [paths[i] for i in chosen if not os.path.isfile(paths[i])], count
