"""Which videos of a folder are encoded again, and into which files."""
import os
import os.path as osp
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TextIO

from vicmae_mm.datasets.annotations.video_lists import scan_folder
from vicmae_mm.utils.atomic_files import part_name, remove_leftovers
from vicmae_mm.utils.errors import InputError

from .converting import reserve_target
from .reencode import ReencodeJob, ReencodeSettings

SETTINGS_FILE = 'reencode.json'


def plan_jobs(source: str, target: str, settings: ReencodeSettings) -> list[ReencodeJob]:
    """One job per video of a folder; targets keep the layout, as ``.mp4`` files of their own.

    It is an InputError if there is no video, or one of the folders is inside the other.
    """
    inner, outer = osp.realpath(source), osp.realpath(target)
    if inner == outer or inner.startswith(outer + os.sep) or outer.startswith(inner + os.sep):
        raise InputError(f'SRC {source!r} and DST {target!r} are the same folder or one is inside '
                         'the other. Videos are never replaced: choose a folder outside SRC.')
    paths = [path for path, _ in scan_folder(source)[0]]
    stems = Counter(osp.splitext(path)[0] for path in paths)
    taken = {path for path in paths if path.endswith('.mp4')}
    jobs = []
    for path in paths:
        name = path
        if path not in taken:
            name, stem = f'{path}.mp4', osp.splitext(path)[0]
            # ``a.avi`` becomes ``a.avi.mp4`` only if another video is, or was, called ``a``.
            if stems[stem] == 1 and not osp.exists(osp.join(target, name)):
                name = f'{stem}.mp4'
            while name in taken:
                name += '.mp4'
            taken.add(name)
        jobs.append(ReencodeJob(osp.join(source, path), osp.join(target, name), settings))
    return jobs


def prepare_target(target: str, jobs: Sequence[ReencodeJob], settings: ReencodeSettings) -> TextIO:
    """Reserve the target as :func:`reserve_target` does; remove what it should not contain."""
    # The number of threads does not change the result, so it may differ between runs.
    ours = asdict(replace(settings, threads=1))
    reserved = reserve_target(osp.join(target, SETTINGS_FILE), ours)
    # Each killed worker leaves a file with a name of its own, so they would pile up. They are
    # looked for once per run: a flat folder of Kinetics-400 has too many files to list per video.
    names = defaultdict(set)
    for job in jobs:
        names[osp.dirname(job.target)].add(part_name(job.target))
    for folder, targets in names.items():
        remove_leftovers(folder, targets)
    for job in jobs:
        # ``a.mp4`` may be made of ``a.avi``, from before there was another video called ``a``.
        if shares_name(job) and not osp.exists(job.target):
            Path(job.target).with_suffix('').with_suffix('.mp4').unlink(missing_ok=True)
    return reserved


def shares_name(job: ReencodeJob) -> bool:
    """Whether the target keeps the old extension, because another video has the same name."""
    return job.target.endswith(f'{osp.splitext(job.source)[1]}.mp4')
