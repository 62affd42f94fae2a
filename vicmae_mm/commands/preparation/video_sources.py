"""The videos that a tool is to work on: a folder of them, or a list."""
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
    """Add the options that :func:`read_source` needs; ``name`` is what the help calls it."""
    parser.add_argument('source', metavar=name, help='a folder, a list ("path label" '
                        'or "path" a line) or a csv file')
    parser.add_argument('--prefix', default='', metavar='FOLDER',
                        help='what the paths of a list are relative to (default: where you are)')
    parser.add_argument('--allow-outside-root', action='store_true',
                        help='allow a list to name files outside --prefix')


def read_source(source: str, prefix: str, allow_outside_root: bool,
                labels_from_folders: bool = False) -> tuple[str, list[Video], list[str]]:
    """The folder that paths are relative to, the videos in their order, and the classes.

    There are classes if ``labels_from_folders`` and ``source`` is a folder.

    Raises:
        FileNotFoundError: The folder or list is missing, or all of the files it names are.
        ValueError: It holds no video, a path leads out of ``prefix``, a video has no class, or a
            list is to be labelled by folders.
    """
    if osp.isdir(source):
        return source, *scan_folder(source, labels_from_folders)
    videos = read_annotations(source)
    if labels_from_folders:
        raise InputError(f'--labels-from-folders labels the videos of a folder, but {source} is a '
                         'list, which brings its own labels: leave it out.')
    if not allow_outside_root:
        refuse_outside((path for path, _ in videos), prefix, source,
                       'if you trust the list, add --allow-outside-root')
    paths = [osp.join(prefix, path) for path, _ in videos]
    missing, checked = find_missing(paths)
    if len(missing) == checked:
        raise FileNotFoundError(f'None of the videos listed in {source} exists, for example '
                                f'{missing[0]!r}: set --prefix to the folder their paths are '
                                'relative to.')
    return prefix, videos, []
