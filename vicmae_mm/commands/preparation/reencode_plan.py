"""Which videos of a folder are encoded again, and into which files."""
import os
import os.path as osp
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TextIO

from vicmae_mm.datasets.annotations.video_lists import scan_folder
from vicmae_mm.utils.atomic_files import part_name
from vicmae_mm.utils.errors import InputError

from .converting import reserve_target
from .reencode import ReencodeJob, ReencodeSettings

SETTINGS_FILE = 'reencode.json'
# What atomic_write appends to the name of a file until it is complete.
_PART = re.compile(r'(\.[0-9a-f]+)?\.part$')  # without a number: earlier checkouts


def plan_jobs(source: str, target: str, settings: ReencodeSettings) -> list[ReencodeJob]:
    """One job per video of a folder; targets keep the layout, and become different ``.mp4`` files.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It contains no video, or one of the folders is inside the other.
    """
    inner, outer = osp.realpath(source), osp.realpath(target)
    if inner == outer or inner.startswith(outer + os.sep) or outer.startswith(inner + os.sep):
        raise InputError(f'SRC {source!r} and DST {target!r} are the same folder or one is inside '
                         'the other. Videos are never replaced: choose a folder outside SRC.')
    paths = [path for path, _ in scan_folder(source)[0]]
    stems = Counter(osp.splitext(path)[0] for path in paths)
    names = {path: path for path in paths if path.endswith('.mp4')}
    taken = set(names)
    for path in paths:
        if path not in names:
            name = f'{path}.mp4'
            stem = osp.splitext(path)[0]
            # ``a.avi`` becomes ``a.avi.mp4`` only if another video is called ``a``, or was in an
            # earlier run: then ``a.mp4`` is that one.
            if stems[stem] == 1 and not osp.exists(osp.join(target, name)):
                name = f'{stem}.mp4'
            while name in taken:
                name += '.mp4'
            taken.add(name)
            names[path] = name
    return [ReencodeJob(osp.join(source, path), osp.join(target, names[path]), settings)
            for path in paths]


def prepare_target(target: str, jobs: Sequence[ReencodeJob], settings: ReencodeSettings) -> TextIO:
    """Reserve the target as :func:`reserve_target` does; remove what it should not contain.

    These are leftovers of killed workers, and videos that were made when another file of the same
    name did not exist yet.

    Raises:
        RunError: Another process is encoding into the target.
        ValueError: The target was made with different settings.
    """
    # The number of threads does not change the result, so it may differ between runs.
    ours = asdict(replace(settings, threads=1))
    reserved = reserve_target(osp.join(target, SETTINGS_FILE), ours)
    # Each killed worker leaves a file with a name of its own, so they would pile up. They are
    # looked for once per run: a flat folder of Kinetics-400 has too many files to list per video.
    parts = {osp.join(osp.dirname(job.target), part_name(job.target)) for job in jobs}
    for folder in {osp.dirname(path) for path in parts}:
        for part in Path(folder).glob('*.part'):
            if osp.join(folder, _PART.sub('', part.name)) in parts:
                part.unlink(missing_ok=True)
    for job in jobs:
        # ``a.mp4`` may be made of ``a.avi``, from before there was another video called ``a``.
        if shares_name(job) and not osp.exists(job.target):
            Path(job.target).with_suffix('').with_suffix('.mp4').unlink(missing_ok=True)
    return reserved


def shares_name(job: ReencodeJob) -> bool:
    """Whether the target keeps the old extension, because another video has the same name."""
    return osp.basename(job.target) not in (
        osp.basename(job.source), f'{Path(job.source).stem}.mp4')
