"""Which videos of a folder are to be encoded again, to which files, and what that will take."""
import json
import os
import os.path as osp
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from vicmae_mm.datasets.annotations import scan_folder

from .reencode import Done, Job, Settings

SETTINGS_FILE = 'reencode.json'


def plan_jobs(source: str, target: str, settings: Settings) -> list[Job]:
    """One job for each video of a folder; targets keep the layout and become ``.mp4``.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It holds no video, or one of the folders lies in the other.
    """
    inner, outer = osp.realpath(source), osp.realpath(target)
    if inner == outer or inner.startswith(outer + os.sep) or outer.startswith(inner + os.sep):
        raise ValueError(f'SRC {source!r} and DST {target!r} are the same folder or one lies in '
                         'the other. Videos are never replaced: give a folder beside SRC.')
    paths = [path for path, _ in scan_folder(source)[0]]
    stems = Counter(osp.splitext(path)[0] for path in paths)
    return [Job(osp.join(source, path), osp.join(target, _target_name(path, stems)), settings)
            for path in paths]


def _target_name(path: str, stems: Mapping[str, int]) -> str:
    """``a.avi`` becomes ``a.mp4``, but ``a.avi.mp4`` where there is another ``a``."""
    stem, extension = osp.splitext(path)
    if extension == '.mp4':
        return path
    return f'{path}.mp4' if stems[stem] > 1 else f'{stem}.mp4'


def check_settings(target: str, settings: Settings) -> None:
    """Note the settings in a new target folder; see that an old one was made with the same.

    Raises:
        ValueError: It was made with others.
    """
    path = osp.join(target, SETTINGS_FILE)
    ours = asdict(replace(settings, threads=1))  # the threads change no picture
    if osp.exists(path):
        with open(path, encoding='utf-8') as file:
            theirs = json.load(file)
        if theirs != ours:
            raise ValueError(f'{target!r} holds videos made with {theirs}, now asked for are '
                             f'{ours}: use the same, or another DST.')
        return
    os.makedirs(target, exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(ours, file)


def sample_first(jobs: Sequence[Job], count: int) -> list[Job]:
    """The jobs with ``count`` evenly spread ones in front, to estimate from."""
    chosen = set(np.linspace(0, len(jobs) - 1, min(count, len(jobs))).round().astype(int).tolist())
    return ([jobs[i] for i in sorted(chosen)]
            + [job for i, job in enumerate(jobs) if i not in chosen])


def estimate(sample: Mapping[Job, Done], jobs: Sequence[Job],
             num_workers: int) -> tuple[float, float]:
    """Bytes and seconds that all jobs will take, from some that are done.

    Both are taken to be proportional to the size of the source.
    """
    before = total_size(job.source for job in sample)
    scale = total_size(job.source for job in jobs) / max(before, 1)
    return (sum(done.size for done in sample.values()) * scale,
            sum(done.seconds for done in sample.values()) * scale / num_workers)


def total_size(paths: Iterable[str]) -> int:
    """Bytes of the files that exist."""
    return sum(osp.getsize(path) for path in paths if osp.exists(path))


def human_size(size: float) -> str:
    """Bytes with a unit: '1.5 GB'."""
    for unit in ('B', 'kB', 'MB', 'GB'):
        if size < 1000:
            return f'{size:.3g} {unit}'
        size /= 1000
    return f'{size:,.3g} TB'


def human_time(seconds: float) -> str:
    """Seconds with a unit: '1.5 h'."""
    for unit, length in (('s', 60.), ('min', 60.), ('h', 24.)):
        if seconds < length:
            return f'{seconds:.3g} {unit}'
        seconds /= length
    return f'{seconds:,.3g} days'
