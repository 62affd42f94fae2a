"""Annotation lists of a dataset that has one folder of videos per split."""
import csv
import os
import os.path as osp
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from vicmae_mm.datasets.annotations.video_lists import Video, parse_videos, scan_folder
from vicmae_mm.utils.atomic_files import atomic_write_bytes
from vicmae_mm.utils.errors import InputError, quoted
from vicmae_mm.utils.progress import say

Key = TypeVar('Key')


@dataclass
class SplitList:
    """The list of one split, and facts for the user about it."""

    split: str  # 'train', 'val' or 'test'
    folder: str  # that the paths are relative to
    videos: list[Video]  # sorted by path
    rows: int = 0  # annotated videos; 0 without annotations
    unlisted: list[str] = field(default_factory=list)  # videos without an annotation
    seconds: float = 0.  # duration of the videos by annotations or names; 0 if unknown
    remarks: list[str] = field(default_factory=list)  # further lines for the summary

    def describe(self, file: str, root: str) -> str:
        """What is in the list, and the settings of VideoPairDataset that read it from ``file``."""
        count = len(self.videos)
        parts = [f'{self.split}: {count:,} videos in {self.folder}']
        if self.rows:
            parts.append(f'{count / self.rows:.1%} of the {self.rows:,} annotated videos; '
                         f'{self.rows - count:,} are missing')
        if self.unlisted:
            parts.append(f'{len(self.unlisted):,} files are not annotated and were skipped '
                         f'({quoted(self.unlisted)})')
        if self.seconds:
            parts.append(f'{self.seconds / 3600:,.1f} hours, {self.seconds / count:.1f} s per '
                         'video')
        parts += [*self.remarks, f'-> {file}; read it with',
                  f'data_root={root!r}, ann_file={osp.relpath(file, root)!r}, '
                  f'data_prefix=dict(video={osp.relpath(self.folder, root)!r})']
        if spaces := sum(' ' in path for path, _ in self.videos):
            parts.append(f'{spaces:,} paths contain spaces: VideoPairDataset reads them, '
                         "mmaction2's own VideoDataset does not")
        return '\n    '.join(parts)


def annotation_files(root: str) -> list[str]:
    """The files in ``root`` and its folder ``annotations``, in sorted order."""
    return [osp.join(folder, name) for folder in (root, osp.join(root, 'annotations'))
            if osp.isdir(folder) for name in sorted(os.listdir(folder))
            if osp.isfile(osp.join(folder, name))]


def read_rows(path: str) -> Iterator[tuple[str, list[str]]]:
    """The rows of a csv file that are not blank, each with its place, for messages.

    What is not a csv file in UTF-8 is an InputError.
    """
    with open(path, encoding='utf-8-sig', errors='surrogateescape', newline='') as file:
        reader = csv.reader(file, skipinitialspace=True)
        try:
            for row in reader:
                if '\0' in ''.join(row):
                    raise csv.Error('it has zero bytes, as UTF-16 does: convert it to UTF-8')
                if ','.join(row).strip():
                    yield f'{path}, line {reader.line_num}', row
        except csv.Error as error:
            raise InputError(f'{path}, line {reader.line_num}: {error}') from error


def find_folder(root: str, names: Sequence[str], remedy: str) -> str | None:
    """Find the one folder in ``root`` that has one of these names; None if there is none.

    Several are an InputError, with the advice ``remedy``.
    """
    found = [name for name in names if osp.isdir(osp.join(root, name))]
    if len(found) > 1:
        raise InputError(f'{root!r} has {" and ".join(map(repr, found))}: {remedy}.')
    return osp.join(root, found[0]) if found else None


def videos_in(folder: str) -> list[str]:
    """Sorted paths of the videos in a folder at any depth, relative to it; may be empty."""
    with suppress(FileNotFoundError, ValueError):
        return [path for path, _ in scan_folder(folder)[0]]
    return []


def match_rows(split: str, folder: str, labels: Mapping[Key, int], files: Mapping[Key, str],
               unlisted: Iterable[str], expected_name: str) -> SplitList:
    """List the annotated videos that are on disk: ``labels`` and ``files`` have the same keys.

    If none is, an InputError compares the names.
    """
    videos = sorted((files[key], label) for key, label in labels.items() if key in files)
    unlisted = sorted(unlisted)
    if not videos:
        raise InputError(
            f'None of the {len(labels):,} annotated videos of the {split} split is in {folder!r}. '
            f'Its files have names like {quoted(unlisted)}; expected {expected_name}. Check '
            'that the folder and the annotations belong to the same dataset and split.')
    return SplitList(split, folder, videos, len(labels), unlisted)


def class_key(name: str) -> str:
    """A class name as mmaction2 compares and sorts it: '_' for ' ', without quotes."""
    return name.replace('"', '').replace(' ', '_')


def class_index(names: Iterable[str]) -> dict[str, int]:
    """Number classes in mmaction2's order; the keys are the :func:`class_key` of the names."""
    return {key: index for index, key in enumerate(sorted({class_key(name) for name in names}))}


def folder_classes(paths: Iterable[str]) -> set[str]:
    """Top-level folders of relative paths; empty if a path is not in a folder."""
    tops = [path.split(os.sep, 1) for path in paths]
    return {top[0] for top in tops} if all(len(top) == 2 for top in tops) else set()


def label_by_folder(paths: Iterable[str], index: Mapping[str, int], folder: str) -> list[Video]:
    """Label videos by their top-level folders; one not named after a class is an InputError."""
    names = {path: path.split(os.sep, 1)[0] for path in paths}
    if unknown := [name for name in names.values() if class_key(name) not in index]:
        raise InputError(f'{osp.join(folder, unknown[0])!r} is not named after any of the '
                         f'{len(index)} classes of the annotations.')
    return [(path, index[class_key(name)]) for path, name in names.items()]


def write_lists(out_dir: str, name: str, classes: Sequence[str], lists: Sequence[SplitList],
                root: str) -> list[str]:
    """Write, and describe, ``{name}_{split}_list_videos.txt`` and ``{name}_label_map.txt``.

    Lists have one ``path label`` per line, with -1 for no label; line k of the label map (from 0)
    is the name of class k. Both formats are mmaction2's. Returned are the videos that
    :func:`write_labelled` left out.
    """
    label_map, left_out = osp.join(out_dir, f'{name}_label_map.txt'), []
    write_lines(label_map, classes)
    for item in lists:
        file = osp.join(out_dir, f'{name}_{item.split}_list_videos.txt')
        left_out += write_labelled(file, item.videos)
        print(item.describe(file, root))
    print(f'{len(classes)} classes -> {label_map}')
    return left_out


def write_labelled(path: str, files: Iterable[Video]) -> list[str]:
    """Write one ``path label`` per line, for every file that can be read from its line.

    Returned are the others, for example with a line break in their names; a message names some.
    """
    lines, left_out = [], []
    for file in files:
        line = f'{file[0]} {file[1]}'
        with suppress(InputError):
            if [*parse_videos(f'{line}\n'.encode('utf-8', 'surrogateescape'), '')] == [file]:
                lines.append(line)
                continue
        left_out.append(file[0])
    write_lines(path, lines)
    if left_out:
        say(f'{path}: {len(left_out):,} files are left out, because a line cannot hold their names '
            f'(line breaks, spaces at an end, ...): {quoted(left_out)}. Rename them.')
    return left_out


def write_lines(path: str, lines: Sequence[str]) -> None:
    """Write a text file atomically; raise an InputError for a line that contains a line break."""
    if broken := [line for line in lines if re.search('[\r\n]', line)]:
        raise InputError(f'{path} cannot contain {quoted(broken)}, with a line break: rename it.')
    # surrogateescape: file names on Linux need not be valid UTF-8.
    atomic_write_bytes(path, ['\n'.join([*lines, '']).encode('utf-8', 'surrogateescape')])
