"""Reading pairs from stored frames: packed, and as JPEG files with mmaction2's pipeline."""
import os
import random
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmaction.datasets import RawframeDataset
from mmengine.config import Config

from vicmae_mm.commands.preparation.pack_plan import Plan
from vicmae_mm.commands.preparation.pack_video import PackSettings, pack_video
from vicmae_mm.datasets import PackedFrameDataset, SampleIndex
from vicmae_mm.datasets.annotations.video_lists import NO_LABEL
from vicmae_mm.datasets.packed.index import build_index
from vicmae_mm.datasets.packed.shards import read_shard

from .peers import NotInstalledError, torchvision_v2, webdataset_cv2

# Several videos in a row, as in a worker of a data loader: right after another method decoded a
# video, the first finds none of its data in the processor's caches.
IN_A_ROW = 16
Read = Callable[[str, int], None]  # reads IN_A_ROW pairs, given the path of the first and a seed


def config_pipeline(name: str) -> list[dict]:
    """The pipeline of a config in ``configs/_base_/datasets``."""
    path = Path(__file__).parents[1] / f'configs/_base_/datasets/{name}.py'
    return Config.fromfile(path).train_dataloader.dataset.pipeline


def read_packed(clips: Sequence[str], folder: str) -> Read:
    """Pack the clips; read with all that the dataset's config does, randomness included."""
    plan = Plan(folder, '', [(clip, NO_LABEL) for clip in clips], (), PackSettings(), len(clips))
    plan.check()
    for job in plan.jobs_left():
        plan.add(job, pack_video(job))
    build_index(plan.target, plan.names)
    dataset = PackedFrameDataset(plan.target, config_pipeline('k400_packed_frames'))
    return _in_a_row(clips, lambda number, seed: dataset[SampleIndex(number, seed, number)])


def read_raw(clips: Sequence[str], packed: str, folder: str, rest: Sequence[dict]) -> Read:
    """Write the packed frames to files, and read these with mmaction2's transforms."""
    shard, = Path(packed).glob('*.zip')
    lines = []
    with zipfile.ZipFile(shard) as archive:
        names = iter(archive.namelist())
        for number, video in enumerate(read_shard(shard).videos):
            os.makedirs(f'{folder}/{number}')
            for position in range(1, len(video.frames) + 1):
                Path(f'{folder}/{number}/img_{position:05}.jpg').write_bytes(
                    archive.read(next(names)))
            lines.append(f'{number} {len(video.frames)} 0\n')
    Path(folder, 'list.txt').write_text(''.join(lines))
    dataset = RawframeDataset(f'{folder}/list.txt', data_prefix=dict(img=folder), pipeline=[
        dict(type='mmaction.SampleFrames', clip_len=1, num_clips=2),
        dict(type='mmaction.RawFrameDecode'), *rest, dict(type='mmaction.PackActionInputs')])

    # The loader makes it contiguous otherwise.
    return _in_a_row(clips, partial(_seeded, lambda number: dataset[number]['inputs'].contiguous()))


def read_peers(clips: Sequence[str], folder: str) -> dict[str, Read | None]:
    """Reading the files of :func:`read_raw` as others do; None where a package is missing."""
    readers: dict[str, Read | None] = {}
    for name, make in (('webdataset, cv2', webdataset_cv2), ('torchvision v2', torchvision_v2)):
        readers[name] = None
        with suppress(NotInstalledError):
            readers[name] = _in_a_row(clips, partial(_seeded, make(folder)))
    return readers


def _seeded(read: Callable[[int], object], number: int, seed: int) -> object:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # of torchvision's transforms
    return read(number)


def _in_a_row(clips: Sequence[str], read_pair: Callable[[int, int], object]) -> Read:
    def read(path: str, seed: int) -> None:
        first = clips.index(path)
        for number in range(first, first + IN_A_ROW):
            read_pair(number % len(clips), IN_A_ROW * seed + number - first)
    return read
