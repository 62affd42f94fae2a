"""The videos that a tool works on: all of a folder, those of a list, or one."""
import argparse
import os.path as osp
from collections.abc import Sequence

from vicmae_mm.datasets.annotations.list_index import ListIndex
from vicmae_mm.datasets.annotations.video_lists import (
    NO_LABEL,
    VIDEO_EXTENSIONS,
    Video,
    find_files,
)
from vicmae_mm.utils.errors import InputError


def add_source(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the options of :func:`read_source`; the help calls the source ``name``."""
    parser.add_argument('source', metavar=name, help='a folder, a list (one "path label" or '
                        '"path" per line), a csv file or a video')
    parser.add_argument('--prefix', default='', metavar='FOLDER',
                        help='folder that the paths of a list are relative to '
                        '(default: the current folder)')
    parser.add_argument('--allow-outside-root', action='store_true',
                        help='allow a list to name files outside --prefix')


def read_source(source: str, prefix: str, allow_outside_root: bool,
                labels_from_folders: bool = False) -> tuple[str, Sequence[Video], list[str]]:
    """List the videos of a folder or list.

    Returned are the folder that the paths are relative to, the videos in order, and the names of
    the classes (none unless ``labels_from_folders``, which a list refuses). Errors are those of
    :func:`find_files`.
    """
    if not osp.exists(source):
        raise FileNotFoundError(f'{source!r} does not exist: name a folder of videos, or a list of '
                                'them (.csv or plain text).')
    is_folder = osp.isdir(source)
    if labels_from_folders and not is_folder:
        raise InputError(f'--labels-from-folders labels the videos of a folder, but {source} is a '
                         'list, which has its own labels, or one video: remove the option.')
    if not is_folder and source.lower().endswith(VIDEO_EXTENSIONS):
        return osp.dirname(source), [(osp.basename(source), NO_LABEL)], []
    folder = source if is_folder else prefix
    videos, classes = find_files('' if is_folder else source, folder, '', allow_outside_root,
                                 False, labels_from_folders)
    return folder, ListIndex(videos.source), classes  # with the paths as listed
