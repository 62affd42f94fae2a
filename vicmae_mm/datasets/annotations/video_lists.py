"""Lists of videos, read from a text list, a csv file or a folder."""
import csv
import io
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest

import numpy as np
from mmengine.logging import print_log

from vicmae_mm.utils.errors import InputError

from .data_root import ALLOW, refuse_outside
from .files_below import files_below, report_scan
from .image_lists import EXTENSIONS
from .list_index import ListIndex, kept_index, make_index

VIDEO_EXTENSIONS = (
    '.3g2', '.3gp', '.asf', '.avi', '.divx', '.dv', '.f4v', '.flv', '.m2t', '.m2ts', '.m2v', '.m4v',
    '.mkv', '.mov', '.mp4', '.mpe', '.mpeg', '.mpg', '.mts', '.mxf', '.ogm', '.ogv', '.qt', '.rm',
    '.rmvb', '.ts', '.vob', '.webm', '.wmv', '.y4m')

PATH_COLUMNS = ('path', 'filename', 'file_name', 'file_path', 'video', 'video_path', 'image',
                'image_path', 'img_path')
NO_LABEL = -1

_OTHER_BYTE = re.compile('[\udc80-\udcff]')  # how Python reads bytes that are not UTF-8
_INTEGER = re.compile(r'[+-]?\d+')
_EXTENSIONS = VIDEO_EXTENSIONS + EXTENSIONS
_FILE_THEN_MORE = re.compile(
    r'(?P<path>.*(?:' + '|'.join(map(re.escape, _EXTENSIONS)) + r'))\s+(?P<rest>\S.*)', re.I)

Video = tuple[str, int]


def read_annotations(ann_file: str, folder: str = '') -> ListIndex:
    """Read the videos of a text list or csv file, both in UTF-8.

    A text list has one ``path label`` or ``path`` per line; empty lines are skipped. The last word
    is the label if it is an integer, so a path that ends in a space and a number needs a label.

    A ``.csv`` or ``.tsv`` file may be a table with a header that names ``path`` (or another of
    ``PATH_COLUMNS``) and ``label``, or with a path in the first column and a label in the second.

    Returned are the path as written, and label or -1, of each video. Paths are relative to
    ``folder``, where a name that is not UTF-8 must exist.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It names no video, is not UTF-8 or ambiguous, or a label is not an integer.
    """
    if not os.path.isfile(ann_file):
        what = 'is a folder' if os.path.isdir(ann_file) else 'does not exist'
        raise FileNotFoundError(
            f'The list {ann_file!r} {what}. Set ann_file to a text list (one `path label` or '
            '`path` per line) or a .csv file; to read every file of a folder, leave ann_file empty '
            'and set data_prefix to the folder.')
    with open(ann_file, 'rb') as file:
        videos = parse_videos(file.read(), ann_file)
    if not videos:
        raise InputError(f'The list {ann_file!r} is empty: it should have one `path label` or '
                         '`path` per line.')
    # Names on a disk need not be UTF-8. If no such file exists, the list has another encoding.
    foreign = {path: byte for path, _ in videos if not path.isascii()
               for byte in _OTHER_BYTE.findall(path)}
    if foreign and not any(os.path.exists(os.path.join(folder, path)) for path in foreign):
        byte = ord(min(foreign.values())) - 0xdc00
        raise _not_utf_8(ann_file, f'no file whose name has the byte {byte:#x} exists')
    return videos


def parse_videos(content: bytes, ann_file: str) -> ListIndex:
    """Parse the content of a list as :func:`read_annotations` does; the name is for messages."""
    if b'\0' in content:
        raise _not_utf_8(ann_file, 'it has zero bytes, as UTF-16 does')
    if ann_file.lower().endswith(('.csv', '.tsv')):
        return _read_csv(content, ann_file)
    return make_index(_read_list(_lines(content), ann_file))


def _lines(content: bytes) -> Iterable[str]:
    return io.TextIOWrapper(io.BytesIO(content), 'utf-8-sig', 'surrogateescape', newline='')


def _not_utf_8(ann_file: str, reason: str) -> InputError:
    return InputError(f'The list {ann_file!r} is not UTF-8 text ({reason}): convert it to UTF-8; '
                      'names must stay those of the files.')


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
        if not path.lower().endswith(_EXTENSIONS) and (extra := _FILE_THEN_MORE.fullmatch(path)):
            raise InputError(
                f'{ann_file}, line {number}: {extra["rest"]!r} follows the path {extra["path"]!r}; '
                'expected one integer label or nothing. Map class names to integers first, or '
                'leave the labels out: pre-training needs none.')
        yield path, label


def _read_csv(content: bytes, ann_file: str) -> ListIndex:
    """Read a table, or a text list, in the only way that fits all its lines."""
    ways, problems = [], []
    # Names contain commas and quotes, too; pandas separates by any of these, Excel by ';' or tabs.
    for mark in [mark for mark in ',;\t| ' if mark.encode() in content] or ',':
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
            reader = csv.reader(_lines(content), delimiter=mark, strict=True, quoting=quoting)
            try:
                ways.append(make_index(_read_table(reader)))
                break
            except (InputError, csv.Error) as error:
                problems.append((reader.line_num, error))
    with suppress(InputError):
        listed = make_index(_read_list(_lines(content), ann_file))
        if all(path.lower().endswith(_EXTENSIONS) for path, _ in listed):
            ways.append(listed)
    if not ways:
        number, problem = max(problems, key=lambda each: each[0])
        raise InputError(f'{ann_file}, line {number}: {problem}') from problem
    for other in ways:
        for number, (one, two) in enumerate(zip_longest(ways[0], other), 1):
            if one != two:
                raise InputError(f'{ann_file}, video {number}: {one!r} or {two!r}? Add a first '
                                 'line such as "path,label", and put names into quotes.')
    return ways[0]


def _read_table(rows: Iterable[list[str]]) -> Iterator[Video]:
    """Videos of a table; raises InputError for a line that does not fit."""
    path, label, width = 0, 1, 0
    for number, row in enumerate(filter(any, rows)):
        cells = [cell.strip() for cell in row]
        names = [cell.lower() for cell in cells]
        header = [names.index(name) for name in PATH_COLUMNS if name in names]
        if header and not number:
            path, width = header[0], len(names)
            label = names.index('label') if 'label' in names else width
        elif any(cells):
            name, value = (''.join(cells[column:column + 1]) for column in (path, label))
            if not name:
                raise InputError(f'no path in column {path + 1}: {row!r}.')
            if any(cells[width:]) if width else (
                    not name.lower().endswith(_EXTENSIONS)
                    or any(map(_INTEGER.fullmatch, cells[2:]))):
                raise InputError(f'{row!r} is not {"as the header" if width else "path and label"}:'
                                 ' a first line should name all columns, such as path,split,label.')
            value = value.removesuffix('.0')  # pandas writes 3.0 if other labels are missing
            if value and not _INTEGER.fullmatch(value):
                raise InputError(
                    f'the label {value!r} is not an integer. Map class names to integers first, '
                    'or leave the column out or empty: pre-training needs no labels.')
            yield name, int(value or NO_LABEL)


def scan_folder(root: str, labels_from_folders: bool = False, noun: str = 'video',
                extensions: Sequence[str] = VIDEO_EXTENSIONS) -> tuple[list[Video], list[str]]:
    """Find all videos, or other files, below a folder by extension, in sorted order.

    Links to folders are followed; hidden files and folders are skipped. The log counts all others.

    Returned are paths relative to ``root`` with labels, and the names of the classes. These are,
    with ``labels_from_folders``, the top-level subfolders that contain videos, numbered in sorted
    order; else labels are -1 and there are no names. Raises FileNotFoundError if there is no such
    folder, ValueError if it contains no video, or one that is not in a subfolder.
    """
    if not os.path.isdir(root):
        what = 'is a file' if os.path.exists(root) else 'does not exist'
        raise FileNotFoundError(f'The folder of {noun}s {root!r} {what}: correct the path (of a '
                                'dataset, data_root and data_prefix, or set ann_file to a list).')
    ignored: Counter[str] = Counter()
    paths = files_below(root, extensions, ignored, labels_from_folders)
    if not paths:
        raise InputError(f'No {noun} found in {root!r} or its subfolders. Known extensions: '
                         f'{" ".join(extensions)}. Found: '
                         f'{", ".join(sorted(ignored)) or "nothing"}.')
    report_scan(root, paths, f'{noun}s', ignored)
    if not labels_from_folders:
        return [(path, NO_LABEL) for path in paths], []
    tops = [path.split(os.sep)[0] for path in paths]
    if loose := next((path for path in paths if os.sep not in path), ''):
        raise InputError(f'{loose!r} is directly in {root!r}, so labels_from_folders=True cannot '
                         'label it. Move it into a subfolder named after its class.')
    classes = sorted(set(tops))
    # Their labels would be missing in the middle: other data may have videos of these classes.
    if empty := sorted(entry.name for entry in os.scandir(root) if entry.is_dir()
                       and entry.name not in classes and not entry.name.startswith('.')):
        print_log(f'{root}: folders without a video are not classes: {", ".join(empty)}',
                  'current', logging.WARNING)
    numbers = {name: number for number, name in enumerate(classes)}
    return [(path, numbers[top]) for path, top in zip(paths, tops, strict=True)], classes


def find_missing(videos: Sequence[Video], max_checks: int = 1000) -> tuple[list[str], int]:
    """The missing ones of ``max_checks`` evenly spaced files of a list; how many were checked."""
    # Not all: 240,000 look-ups take minutes on a network disk.
    chosen = np.linspace(0, len(videos) - 1, min(len(videos), max_checks)).round().astype(int)
    paths = (videos[i][0] for i in chosen.tolist())
    return [path for path in paths if not os.path.isfile(path)], len(chosen)


def find_files(ann_file: str, folder: str, data_root: str, allow_outside_root: bool,
               test_mode: bool, labels_from_folders: bool = False, noun: str = 'video',
               extensions: Sequence[str] = VIDEO_EXTENSIONS) -> tuple[ListIndex, list[str]]:
    """Paths and labels for a dataset, of a list or a folder, and names of the folder's labels.

    Raises FileNotFoundError if all files that were checked are missing, ValueError if a path is
    outside of the data, and what the functions above raise.
    """
    if not ann_file:
        found, classes = scan_folder(folder, labels_from_folders, noun, extensions)
        return make_index(found, folder), classes

    def read() -> ListIndex:
        listed = read_annotations(ann_file, folder)
        if not allow_outside_root:
            refuse_outside((path for path, _ in listed), folder, ann_file, ALLOW, [data_root])
        return listed

    listed = kept_index(ann_file, (os.path.splitext(ann_file)[1].lower(), allow_outside_root, *(
        each and os.path.abspath(each) for each in (folder, data_root))), read)
    listed.folder = folder
    missing, checked = find_missing(listed)
    total = f'{checked:,}' + f' checked (of {len(listed):,})' * (checked < len(listed))
    if len(missing) == checked:
        raise FileNotFoundError(
            f'None of the {total} {noun}s listed in {ann_file} exists, for example {missing[0]!r}. '
            'Correct the list, or the folder that its paths are relative to: data_root and '
            'data_prefix of a dataset, --prefix or ROOT of a command.')
    if missing:
        effect = ('reading one is an error in test mode' if test_mode else
                  'they will be skipped and counted as bad')
        print_log(f'{len(missing):,} of the {total} {noun}s listed in {ann_file} do not exist, for '
                  f'example {missing[0]!r}: {effect}.', 'current', logging.WARNING)
    return listed, []


def find_labelled(ann_file: str, folder: str, data_root: str, allow_outside_root: bool = False,
                  test_mode: bool = False) -> ListIndex:
    """As :func:`find_files` of a list of images; a ValueError if a label is missing or negative."""
    files, _ = find_files(
        ann_file, folder, data_root, allow_outside_root, test_mode, noun='image')
    if unlabelled := next((path for path, label in files if label < 0), ''):
        raise InputError(f'{ann_file} has no label of {unlabelled!r}: it should have one `path '
                         'label` per line; labels start at 0.')
    return files
