"""What the data of ``vicmae pretrain`` is, as settings of datasets."""
from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from mmengine.registry import DATASETS

from vicmae_mm.datasets.annotations.files_below import files_below
from vicmae_mm.datasets.annotations.image_lists import EXTENSIONS
from vicmae_mm.datasets.annotations.video_lists import VIDEO_EXTENSIONS, read_annotations
from vicmae_mm.datasets.packed.index import INDEX_FILE
from vicmae_mm.datasets.segments import cut_segments
from vicmae_mm.datasets.video_durations import video_durations
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
        return _build(dict(packed=dict(type='vicmae_mm.PackedFrameDataset', data_root=data)))
    endings, folder, ann_file = VIDEO_EXTENSIONS + EXTENSIONS, os.path.dirname(data), data
    if not os.path.exists(data):
        raise FileNotFoundError(f'There is no file or folder {data}.')
    if os.path.isdir(data):
        files, folder, ann_file = files_below(data, endings, Counter()), data, ''
    elif data.lower().endswith(endings):
        files, ann_file = [data], list_file
        Path(list_file).write_bytes(os.fsencode(f'{os.path.basename(data)} -1\n'))
    else:
        files = [path for path, _ in read_annotations(data, prefix or folder)]
        folder = prefix or ('' if os.path.isabs(files[0]) else folder)  # '': they may be anywhere
    found = {kind: [file for file in files if file.lower().endswith(names)]
             for kind, (names, *_) in _KINDS.items()}
    kinds = [kind for kind in found if found[kind] and use in (None, 'both', kind)]
    if len(kinds) == 2 and (ann_file or use is None):
        words = ' and '.join(f'{len(each):,} {kind} ({each[0]}, ...)'
                             for kind, each in found.items())
        raise InputError(f'{data} has {words}: ' + (
            'make a list of each.' if ann_file else 'choose by --use videos, images or both.'))
    # Without any, the dataset says what it has looked for.
    return _build({kind: dict(
        type=_KINDS[kind][1], data_root='', ann_file=ann_file, data_prefix={_KINDS[kind][2]: folder}
    ) for kind in kinds or ['images' if use == 'images' else 'videos']})


def _build(datasets: dict[str, dict]) -> tuple[dict[str, dict], int, str]:
    """Let the datasets themselves find what is wrong; cut long videos."""
    total, words = 0, []
    for kind, settings in datasets.items():
        dataset = DATASETS.build(dict(settings, pipeline=[]))
        number, note = len(dataset), f'{len(dataset):,} {kind} of {dataset.source}'
        if kind == 'videos' and (more := _count_segments(dataset)) >= 2 * number:
            settings['segment_seconds'], number = _SEGMENT, more
            note += f', long ones, cut into about {more:,} samples of {_SEGMENT} s'
        total += number
        words.append(note)
    return datasets, total, ' and '.join(words)


def _count_segments(dataset: Any) -> int:
    """About how many samples there would be if videos were cut; one of a file without duration."""
    some = range(0, len(dataset), -(-len(dataset) // _MOST_READ))
    durations = video_durations([dataset.get_data_info(each)['filename'] for each in some], None)
    counts = [len(cut_segments(each or 0, _SEGMENT, _SEGMENT)) or 1 for each in durations]
    return sum(counts) * len(dataset) // len(counts)
