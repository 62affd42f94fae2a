"""What the data of ``vicmae pretrain`` is, as settings of datasets."""
from __future__ import annotations

import os
from pathlib import Path

from mmengine.registry import DATASETS

from vicmae_mm.datasets.annotations.image_lists import EXTENSIONS
from vicmae_mm.datasets.annotations.video_lists import (
    VIDEO_EXTENSIONS,
    find_files,
    read_annotations,
)
from vicmae_mm.datasets.packed.index import INDEX_FILE
from vicmae_mm.datasets.segments import cut_segments, video_durations
from vicmae_mm.utils.errors import InputError

# Names of files, the dataset that reads them, and what it calls their folder.
_KINDS = dict(videos=(VIDEO_EXTENSIONS, 'vicmae_mm.VideoPairDataset', 'video'),
              images=(EXTENSIONS, 'vicmae_mm.ImagePairDataset', 'img_path'))
_SEGMENT = 10  # seconds, about those of Kinetics
_MOST_READ = 500  # durations, evenly spread


def find_source(data: str, use: str | None, prefix: str | None,
                list_file: str) -> tuple[dict[str, dict], int, str]:
    """Find out what ``data`` is; no image or frame is read.

    Args:
        data: A folder of videos, images or packed frames, or a URL of the latter; a list or csv; or
            one video.
        use: ``'videos'``, ``'images'`` or ``'both'`` for a folder with both.
        prefix: What the paths of a list are relative to; by default the folder of the list.
        list_file: Where to write a list of the one video.

    Returns:
        Datasets without pipelines by kind (``videos``, ``images`` or ``packed``); the number of
        their samples; and what there is, in words.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: There are no videos or images, or both and ``use`` is None.
    """
    if '://' in data or os.path.isfile(os.path.join(data, INDEX_FILE)):
        packed = dict(type='vicmae_mm.PackedFrameDataset', data_root=data)
        number = len(DATASETS.build(packed))
        return dict(packed=packed), number, f'{number:,} packed videos of {data}'
    if not os.path.exists(data):
        raise FileNotFoundError(f'There is no file or folder {data!r}.')
    endings = VIDEO_EXTENSIONS + EXTENSIONS
    ann_file, folder = ('', data) if os.path.isdir(data) else (data, os.path.dirname(data))
    if ann_file and data.lower().endswith(endings):
        ann_file, line = list_file, f'{os.path.basename(data)} -1'
        if line.splitlines() != [line.strip()]:
            raise InputError(f'A list cannot name the file {data!r}: rename it.')
        Path(list_file).write_bytes(os.fsencode(f'{line}\n'))
    elif ann_file:
        folder = prefix or folder
        if not prefix and os.path.isabs(read_annotations(data, folder)[0][0]):
            folder = ''  # they may be anywhere
    files = [path for path, _ in find_files(
        ann_file, folder, '', False, False, noun='media file', extensions=endings)[0]]
    found = {kind: [file for file in files if file.lower().endswith(names)]
             for kind, (names, *_) in _KINDS.items()}
    kinds = [kind for kind in found if found[kind] and use in (None, 'both', kind)]
    words = ' and '.join(
        f'{len(each):,} {kind} ({each[0]}, ...)' for kind, each in found.items() if each)
    if len(kinds) == 2 and (ann_file or use is None):
        raise InputError(f'{data} has {words}: ' + (
            'make a list of each.' if ann_file else 'choose by --use videos, images or both.'))
    if not kinds and words:
        raise InputError(f'{data} has no {use}, but {words}.')
    total, notes, datasets = 0, [], {}
    for kind in kinds or ['images' if use == 'images' else 'videos']:  # unknown endings
        paths = files if ann_file else found[kind]  # a dataset reads all of a list
        number = len(paths)
        note = f'{number:,} {kind} of {data}'
        settings: dict = dict(type=_KINDS[kind][1], data_root='', ann_file=ann_file,
                              data_prefix={_KINDS[kind][2]: folder})
        if kind == 'videos' and (more := _count_segments(paths)) >= 2 * number:
            settings['segment_seconds'], number = _SEGMENT, more
            note += f', long ones, cut into about {more:,} samples of {_SEGMENT} s'
        datasets[kind] = settings
        total += number
        notes.append(note)
    return datasets, total, ' and '.join(notes)


def _count_segments(files: list[str]) -> int:
    """About how many samples there would be if videos were cut; one of a file without duration."""
    some = files[::-(-len(files) // _MOST_READ)]
    counts = [len(cut_segments(each or 0, _SEGMENT, _SEGMENT)) or 1
              for each in video_durations(some, None)]
    return sum(counts) * len(files) // len(counts)
