"""What the data of ``vicmae pretrain`` is, as settings of a dataset."""
from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.registry import DATASETS

from vicmae_mm.datasets.annotations.files_below import files_below
from vicmae_mm.datasets.annotations.image_lists import EXTENSIONS
from vicmae_mm.datasets.annotations.video_lists import VIDEO_EXTENSIONS, read_annotations
from vicmae_mm.datasets.packed.index import INDEX_FILE
from vicmae_mm.datasets.segments import cut_segments
from vicmae_mm.datasets.video_durations import video_durations
from vicmae_mm.utils.errors import InputError

KINDS = dict(videos=VIDEO_EXTENSIONS, images=EXTENSIONS)
_SEGMENT = 10  # seconds, about those of Kinetics
_MOST_READ = 500  # durations, evenly spread


@dataclass(frozen=True)
class TrainingSource:
    """Datasets by kind (``videos``, ``images`` or ``packed``), without pipelines.

    ``number`` counts the samples of an epoch; ``words`` say what there is.
    """

    datasets: dict[str, dict]
    number: int
    words: str


def find_source(data: str, use: str | None, prefix: str | None, list_file: str) -> TrainingSource:
    """Find out what ``data`` is; no image or frame is read.

    Args:
        data: A folder of videos, images or packed frames, or a URL of the latter; a list or csv; or
            one video.
        use: ``'videos'``, ``'images'`` or ``'both'`` for a folder with both.
        prefix: What the paths of a list are relative to; by default the folder of the list or,
            if they do not exist there, the current folder.
        list_file: Where to write a list of the one video.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: There are no videos or images, or both and ``use`` is None.
    """
    if '://' in data or os.path.isfile(os.path.join(data, INDEX_FILE)):
        path = data if '://' in data else os.path.abspath(data)
        return _build(dict(packed=dict(type='vicmae_mm.PackedFrameDataset', data_root=path)))
    if os.path.isdir(data):
        kinds = _kinds_of_folder(data, use)
        return _build({kind: _settings(kind, '', os.path.abspath(data)) for kind in kinds})
    if not os.path.exists(data):
        raise FileNotFoundError(f'There is no file or folder {data}.')
    path = os.path.abspath(data)
    if path.lower().endswith(VIDEO_EXTENSIONS):
        with open(list_file, 'w', encoding='utf-8', errors='surrogateescape') as file:
            file.write(f'{os.path.basename(path)} -1\n')
        return _build(dict(videos=_settings('videos', list_file, os.path.dirname(path))))
    if path.lower().endswith(EXTENSIONS):
        raise InputError(f'{data} is one image: contrast needs others. Name a folder of images.')
    return _of_list(path, prefix)


def _kinds_of_folder(folder: str, use: str | None) -> list[str]:
    found = {kind: files_below(folder, endings, Counter()) for kind, endings in KINDS.items()}
    kinds = [kind for kind in KINDS if found[kind] and use in (None, 'both', kind)]
    if len(kinds) == 2 and use is None:
        words = ' and '.join(f'{len(files):,} {kind} ({files[0]}, ...)'
                             for kind, files in found.items())
        raise InputError(f'{folder} has {words}: choose by --use videos, images or both.')
    # Without any, the dataset says what it has looked for.
    return kinds or ['images' if use == 'images' else 'videos']


def _of_list(path: str, prefix: str | None) -> TrainingSource:
    listed = [each for each, _ in read_annotations(path, prefix or os.path.dirname(path))]
    kinds = {kind: sum(each.lower().endswith(endings) for each in listed)
             for kind, endings in KINDS.items()}
    if all(kinds.values()):
        raise InputError(f'{path} lists {kinds["videos"]:,} videos and {kinds["images"]:,} images: '
                         'make a list of each.')
    if prefix is None:
        places = [os.path.dirname(path), os.getcwd()]
        prefix = next((place for place in places if any(
            os.path.exists(os.path.join(place, each)) for each in listed[:100])), places[0])
        prefix = '' if os.path.isabs(listed[0]) else prefix  # of which a list may have any
    return _build({kind: _settings(kind, path, prefix and os.path.abspath(prefix))
                   for kind in [max(kinds, key=lambda kind: kinds[kind])]})


def _settings(kind: str, ann_file: str, folder: str) -> dict[str, Any]:
    is_video = kind == 'videos'
    return dict(
        type=f'vicmae_mm.{"VideoPairDataset" if is_video else "ImagePairDataset"}', data_root='',
        ann_file=ann_file, data_prefix={'video' if is_video else 'img_path': folder})


def _build(datasets: dict[str, dict]) -> TrainingSource:
    """Let the datasets themselves find what is wrong; cut long videos."""
    numbers, words = {}, []
    for kind, settings in datasets.items():
        dataset = DATASETS.build(dict(settings, pipeline=[]))
        numbers[kind] = len(dataset)
        note = f'{len(dataset):,} {"packed videos" if kind == "packed" else kind}'
        if kind == 'videos' and (more := _count_segments(dataset)) >= 2 * len(dataset):
            settings['segment_seconds'], numbers[kind] = _SEGMENT, more
            note += f', long ones, cut into about {more:,} samples of {_SEGMENT} s'
        words.append(f'{note} of {dataset.source}')
    return TrainingSource(datasets, sum(numbers.values()), ' and '.join(words))


def _count_segments(dataset: Any) -> int:
    """How many samples there would be if videos were cut, or about that."""
    read = np.linspace(0, len(dataset) - 1, min(len(dataset), _MOST_READ)).round().astype(int)
    paths = [dataset.get_data_info(index)['filename'] for index in read.tolist()]
    durations = video_durations(paths, None)
    if None in durations and not any(durations):
        raise InputError(f'None of the {len(paths):,} videos that were tried in {dataset.source} '
                         f'can be opened, for example {paths[0]}: they are damaged or no videos.')
    counts = [len(cut_segments(each or 0, _SEGMENT, _SEGMENT)) or 1 for each in durations]
    return round(sum(counts) * len(dataset) / len(counts))
