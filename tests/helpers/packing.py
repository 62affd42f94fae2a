"""Packing videos in this process, without the command."""
from pathlib import Path

from vicmae_mm.commands.preparation.pack_plan import Plan
from vicmae_mm.commands.preparation.pack_video import PackSettings, pack_video
from vicmae_mm.datasets.annotations.video_lists import scan_folder
from vicmae_mm.datasets.packed.index import build_index


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
