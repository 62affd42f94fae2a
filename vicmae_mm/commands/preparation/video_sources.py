"""The videos that a tool works on: all of a folder, or those of a list."""
import argparse
import os.path as osp

from vicmae_mm.datasets.annotations.data_root import refuse_outside
from vicmae_mm.datasets.annotations.video_lists import (
    Video,
    find_missing,
    read_annotations,
    scan_folder,
)
from vicmae_mm.utils.errors import InputError


def add_source(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the options of :func:`read_source`; the help calls the source ``name``."""
    parser.add_argument('source', metavar=name, help='a folder, a list (one "path label" or '
                        '"path" per line) or a csv file')
    parser.add_argument('--prefix', default='', metavar='FOLDER',
                        help='folder that the paths of a list are relative to '
                        '(default: the current folder)')
    parser.add_argument('--allow-outside-root', action='store_true',
                        help='allow a list to name files outside --prefix')


def read_source(source: str, prefix: str, allow_outside_root: bool,
                labels_from_folders: bool = False) -> tuple[str, list[Video], list[str]]:
    """List the videos of a folder or list.

    Returns:
        The folder that the paths are relative to, the videos in order, and the class names (empty
        unless ``labels_from_folders``).

    Raises:
        FileNotFoundError: The folder or list is missing, or every file that the list names.
        ValueError: There is no video, a path leads out of ``prefix``, a video is not in a class
            folder, or ``labels_from_folders`` was used with a list.
    """
    if osp.isdir(source):
        return source, *scan_folder(source, labels_from_folders)
    if not osp.isfile(source):
        raise FileNotFoundError(f'{source!r} does not exist: name a folder of videos, or a list of '
                                'them (.csv or plain text).')
    videos = [*read_annotations(source, prefix)]
    if labels_from_folders:
        raise InputError(f'--labels-from-folders labels the videos of a folder, but {source} is a '
                         'list, which has its own labels: remove the option.')
    if not allow_outside_root:
        refuse_outside((path for path, _ in videos), prefix, source,
                       'if you trust the list, add --allow-outside-root')
    # Some missing files are reported as bad videos later; if all are missing, it is the prefix.
    missing, checked = find_missing([(osp.join(prefix, path), label) for path, label in videos])
    if len(missing) == checked:
        raise FileNotFoundError(f'None of the videos listed in {source} exists, for example '
                                f'{missing[0]!r}: set --prefix to the folder their paths are '
                                'relative to.')
    return prefix, videos, []
