"""Packing videos in this process, without the command."""
import json
from pathlib import Path

import numpy as np

from vicmae_mm.commands.preparation.pack_plan import Plan
from vicmae_mm.commands.preparation.pack_video import PackSettings, pack_video
from vicmae_mm.datasets.annotations.video_lists import scan_folder
from vicmae_mm.datasets.packed.index import VIDEO, PackIndex, build_index
from vicmae_mm.datasets.packed.storage import RangeReader


def pack(videos: Path, target: Path, per_shard: int = 3, **settings: int) -> str:
    """Pack the videos of a folder, labelled by its subfolders if it has any; returns the target."""
    has_classes = any(path.is_dir() for path in videos.iterdir())
    listed, classes = scan_folder(str(videos), has_classes)
    plan = Plan(str(target), str(videos), listed, classes, PackSettings(**settings), per_shard)
    plan.check()
    for job in plan.jobs_left():
        plan.add(job, pack_video(job))
    build_index(target, plan.names)
    return str(target)


def make_older(folder: Path, times: bool = True) -> None:
    """Give a pack the index of earlier versions, or the first ones, which stored no times."""
    index = PackIndex(RangeReader(str(folder)))
    videos = dict(path=[video['filename'] for video in index])
    videos |= {name: [video[name] for video in index] for name in VIDEO[1:]}
    frames = index.frames
    if not times:
        del videos['duration']
        np.save(folder / 'frames.npy', np.array([row[:4] for row in frames.tolist()],
                                                np.dtype(frames.dtype.descr[:-1])))
    (folder / 'index.json').write_text(json.dumps(dict(
        classes=index.classes, shards=index.shards, videos=videos,
        num_frames=len(frames))))
    (folder / 'videos.npy').unlink()
