"""Kinetics-400, 600 and 700: the official csv files and the clips on disk."""
import os.path as osp
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from vicmae_mm.datasets.annotations.video_lists import NO_LABEL
from vicmae_mm.utils.errors import InputError

from .lists import (
    SplitList,
    annotation_files,
    class_index,
    class_key,
    find_folder,
    folder_classes,
    label_by_folder,
    match_rows,
    read_rows,
    videos_in,
)

# Folder names of mmaction2, and of the CVDF's download scripts.
FOLDERS = {
    'train': ('videos_train', 'train', 'videos/train'),
    'val': ('videos_val', 'val', 'validate', 'videos/val'),
    'test': ('videos_test', 'test', 'videos/test'),
}
SPLITS = {'train': 'train', 'val': 'val', 'validate': 'val', 'validation': 'val', 'test': 'test'}
CSV_NAME = re.compile(
    r'(kinetics[-_]?)?([467]00[-_])?(2020[-_])?(train|val|validate|validation|test)\.csv')
CSV_COLUMNS = ('label', 'youtube_id', 'time_start', 'time_end', 'split')
CLIP_NAME = re.compile(r'(?P<id>.+)_(?P<start>\d+)_(?P<end>\d+)')
EXPECTED_NAME = "'<11 characters of YouTube>_000010_000020.mp4'"

Clip = tuple[str, int, int]  # YouTube id, begin and end in seconds
Rows = dict[str, dict[Clip, str]]  # class name ('' if unknown) of each clip, by split


def find_csv_files(root: str) -> list[str]:
    """The official csv files in ``root`` or its ``annotations`` folder, recognised by name."""
    return [path for path in annotation_files(root) if CSV_NAME.fullmatch(osp.basename(path))]


def read_csv_files(files: Iterable[str]) -> Rows:
    """Read official csv files: ``label,youtube_id,time_start,time_end,split[,is_cc]``.

    The split is read from its column, so files of several splits may be combined. The test set
    has no ``label``. A clip that occurs twice keeps its first label. A missing column or an invalid
    cell is an InputError.
    """
    rows: Rows = defaultdict(dict)
    for path in files:
        table = read_rows(path)
        _, header = next(table, (path, []))
        missing = {*CSV_COLUMNS} - {*header}
        if missing - {'label'}:
            raise InputError(
                f'{path} has no column {", ".join(sorted(missing))}: the official csv files '
                f'of Kinetics start with the line {",".join(CSV_COLUMNS)!r}, this one with '
                f'{",".join(header)!r}.')
        for where, cells in table:
            row = dict.fromkeys(CSV_COLUMNS, '') | dict(zip(header, cells, strict=False))
            split, clip, name = _parse_row(row, where)
            rows[split].setdefault(clip, name)
    return dict(rows)


def _parse_row(row: Mapping[str, str], where: str) -> tuple[str, Clip, str]:
    try:
        split = SPLITS[row['split'].strip()]
        begin, end = int(float(row['time_start'])), int(float(row['time_end']))
    except KeyError:
        raise InputError(f'{where}: the split is {row["split"]!r}, expected one of '
                         f'{", ".join(SPLITS)}.') from None
    except (ValueError, OverflowError):
        raise InputError(f'{where}: time_start and time_end are {row["time_start"]!r} and '
                         f'{row["time_end"]!r}, expected numbers of seconds.') from None
    name = row['label'].replace('"', '').strip()
    if not name and split != 'test':
        raise InputError(f'{where}: no label; only videos of the test set may have none.')
    return split, (row['youtube_id'].strip(), begin, end), name


def parse_clip(path: str) -> Clip | None:
    """The clip that a file is named after; None if the name does not contain times."""
    match = CLIP_NAME.fullmatch(osp.splitext(osp.basename(path))[0])
    return (match['id'], int(match['start']), int(match['end'])) if match else None


def find_folders(root: str, given: Mapping[str, str | None]) -> dict[str, str]:
    """Find the folder of each split; ``given`` are those that the user named, below ``root``.

    Raises FileNotFoundError if there is none, or a given one is missing, InputError if there are
    several of a split.
    """
    folders = {}
    for split, names in FOLDERS.items():
        name = given.get(split)
        if name and not osp.isdir(osp.join(root, name)):
            raise FileNotFoundError(f'--{split}: no such folder: {osp.join(root, name)!r}.')
        folder = find_folder(root, [name] if name else names, f'choose one with --{split}')
        if folder:
            folders[split] = folder
    if not folders:
        looked_for = ', '.join(name for names in FOLDERS.values() for name in names)
        raise FileNotFoundError(f'No folder of videos in {root!r}: expected one of {looked_for}; '
                                'set other names with --train, --val and --test.')
    return folders


def build_kinetics_lists(root: str, folders: Mapping[str, str],
                         rows: Rows) -> tuple[list[str], list[SplitList], list[str]]:
    """List the videos of each split.

    Videos may be at any depth, so flat folders work as well as class folders. They are matched by
    name: id and times as in the csv file, or only the id if it has a single clip. The CVDF's
    replacements of corrupted clips, ``replacement/`` in ``root``, replace the originals. A split
    without rows (those of :func:`read_csv_files`) is labelled by its class folders.

    Returns:
        Class names in the order of their labels, one list per split, and for each skipped split
        the reason.

    Raises:
        InputError: No annotated video was found, a class folder is not named after a class, or
            no split can be listed.
    """
    paths = {split: videos_in(folder) for split, folder in folders.items()}
    # Without csv files, the class folders of all splits together define the classes.
    names = ({name for clips in rows.values() for name in clips.values() if name}
             or set().union(*map(folder_classes, paths.values())))
    index = class_index(names)
    lists, left_out = [], []
    for split, folder in folders.items():
        if not paths[split]:
            left_out.append(f'{split}: skipped, no video in {folder}')
        elif rows.get(split):
            lists.append(_list_rows(split, folder, paths[split], rows[split], index, root))
        elif folder_classes(paths[split]):
            videos = label_by_folder(paths[split], index, folder)
            seconds = _seconds(parse_clip(path) for path, _ in videos)
            lists.append(SplitList(split, folder, videos, seconds=seconds, remarks=[
                'not in any csv file: labelled by its folders']))
        else:
            left_out.append(f'{split}: skipped, it is not in any csv file and not every video of '
                            f'{folder} is in a class folder')
    if not lists:
        raise InputError(
            f'Nothing to list in {root!r}.\n' + '\n'.join(left_out) + '\nName the official csv '
            'files with --csv. (Pre-training needs neither labels nor a list: '
            "data_prefix=dict(video='the/folder') reads all videos of a folder.)")
    by_key = {class_key(name): name for name in names}
    return [by_key[key] for key in index], lists, left_out


def _list_rows(split: str, folder: str, paths: Sequence[str], rows: Mapping[Clip, str],
               index: Mapping[str, int], root: str) -> SplitList:
    files, unlisted = _find_clips(paths, rows)
    replacement = osp.join(root, 'replacement')
    replaced, _ = _find_clips((osp.relpath(osp.join(replacement, path), folder)
                               for path in videos_in(replacement)), rows)
    files.update(replaced)
    labels = {clip: index[class_key(name)] if name else NO_LABEL for clip, name in rows.items()}
    result = match_rows(split, folder, labels, files, unlisted, EXPECTED_NAME)
    result.seconds = _seconds(files)
    if replaced:
        result.remarks.append(f'{len(replaced):,} of them are replacements of corrupted clips')
    return result


def _find_clips(paths: Iterable[str],
                rows: Mapping[Clip, str]) -> tuple[dict[Clip, str], list[str]]:
    """Path of each clip of ``rows`` that is on disk, and the paths that match no clip."""
    by_id = defaultdict(list)
    for clip in rows:
        by_id[clip[0]].append(clip)
    files: dict[Clip, str] = {}
    unlisted = []
    for path in paths:
        found = parse_clip(path)
        if found not in rows:
            same_id = by_id.get(osp.splitext(osp.basename(path))[0], [])
            found = same_id[0] if len(same_id) == 1 else None
        if found is None or found in files:  # two files of one clip, such as .mp4 and .webm
            unlisted.append(path)
        else:
            files[found] = path
    return files, unlisted


def _seconds(clips: Iterable[Clip | None]) -> float:
    return float(sum(clip[2] - clip[1] for clip in clips if clip))

