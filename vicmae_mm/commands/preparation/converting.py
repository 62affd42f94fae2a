"""Converting many videos into smaller data, in parallel; a bad video affects only itself."""
import argparse
import fcntl
import json
import os
import os.path as osp
import shutil
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TextIO, TypeVar

import numpy as np
from rich.filesize import decimal

from vicmae_mm.commands.options import positive, positive_number
from vicmae_mm.utils.errors import InputError, RunError
from vicmae_mm.utils.processes.pool import FailedCall, num_cores, run_isolated
from vicmae_mm.utils.progress import Progress

Job = TypeVar('Job')

SAMPLE_PER_WORKER = 4


@dataclass(frozen=True)
class JobResult:
    """The result of a job."""
    problem: str = ''  # what is wrong with the source; '' if it was converted
    size: int = 0  # bytes of the converted data
    seconds: float = 0.  # that the job took
    again: bool = False  # the machine is at fault, not the source: a later run may succeed


def add_convert_options(parser: argparse.ArgumentParser, timeout: float) -> None:
    """Add the options that all conversions share; ``timeout`` is the default, in seconds."""
    parser.add_argument('--short-side', type=positive, default=256, metavar='PIXELS',
                        help='maximum length of the shorter side (default: %(default)s)')
    parser.add_argument('--workers', type=positive, default=num_cores(), metavar='N',
                        help='videos processed in parallel (default: %(default)s)')
    parser.add_argument('--timeout', type=positive_number, default=timeout, metavar='SECONDS',
                        help='time limit per video, from its last progress (default: %(default)s)')


def run_jobs(function: Callable[[Job], JobResult], jobs: Sequence[Job], num_workers: int,
             timeout: float, action: str, target: str,
             cost: Callable[[Job], float]) -> Generator[tuple[Job, JobResult], None, None]:
    """Run jobs, which are hashable, as :func:`run_isolated` does, and estimate what all will need.

    A sample of evenly spread jobs runs first; the estimate is made from it. ``action`` labels the
    progress bar, the folder ``target`` must have room for the results, and size and time of a job
    are proportional to its ``cost``. Jobs and results are in the order in which they finish; errors
    are those of :func:`run_isolated`.
    """
    workers = min(num_workers, len(jobs))
    count = SAMPLE_PER_WORKER * workers
    jobs = sample_first(jobs, count)
    # Without a sample (few jobs) there is nothing to estimate: all will be done soon.
    waiting = set(jobs[:count]) if len(jobs) > count else set()
    sample: dict[Job, JobResult] = {}
    with Progress(action, len(jobs)) as progress, \
            closing(run_isolated(function, jobs, workers, timeout)) as results:
        for job, result in results:
            done = JobResult(result.reason) if isinstance(result, FailedCall) else result
            progress.advance(bad=bool(done.problem))
            if job in waiting:
                waiting.remove(job)
                # A bad video ends early and leaves nothing: counted, it would lower the estimate.
                if not done.problem:
                    sample[job] = done
                if sample and not waiting:
                    scale = sum(map(cost, jobs)) / max(sum(map(cost, sample)), 1)
                    progress.say(_describe_estimate(
                        list(sample.values()), len(jobs), scale, workers, target))
            yield job, done


def sample_first(jobs: Sequence[Job], count: int) -> list[Job]:
    """Reorder the jobs: ``count`` evenly spread ones first, then the rest in order."""
    chosen = {*np.linspace(0, len(jobs) - 1, min(count, len(jobs))).round().astype(int).tolist()}
    return [jobs[i] for i in sorted(range(len(jobs)), key=lambda i: i not in chosen)]


def _describe_estimate(sample: Sequence[JobResult], num_jobs: int, scale: float, num_workers: int,
                       target: str) -> str:
    """Estimated size and time of all jobs, with a warning if the disk is too small."""
    size = sum(done.size for done in sample) * scale
    seconds = sum(done.seconds for done in sample) * scale / num_workers
    text = (f'Estimate from {len(sample)} of {num_jobs:,} videos: {decimal(round(size))}, '
            f'{timedelta(seconds=round(seconds))} with {num_workers} in parallel')
    # The sample's own files already occupy a part of what all will need.
    free = shutil.disk_usage(target).free + sum(done.size for done in sample)
    if size > free:
        text += f'\nWARNING: only {decimal(free)} free in {target}'
    return text


def reserve_target(path: str, ours: Mapping[str, Any]) -> TextIO:
    """Reserve a new target folder, or one that was made with the same settings, ``ours``.

    They are in the JSON file ``path``, which is created in the folder, and returned. Until it is
    closed, or the process ends in any way, the folder is reserved.

    Raises:
        RunError: Another process has reserved the folder.
        InputError: The folder was made with different settings.
    """
    folder = osp.dirname(path)
    os.makedirs(folder, exist_ok=True)
    file = open(path, 'a+', encoding='utf-8', errors='replace')
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(f'{folder!r} is being written by another process: wait until it ends and '
                       'run the same command again, or choose another DST.') from None
    except OSError:
        pass  # a file system without locks
    file.seek(0)
    if saved := file.read():
        try:
            theirs = dict(json.loads(saved))
        except (TypeError, ValueError):
            raise InputError(f'{path} is damaged, so it is not known how the videos in {folder!r} '
                             'were made: remove the folder, or choose another DST.') from None
        then, now = ({name: value for name, value in one.items() if other.get(name) != value}
                     for one, other in ((theirs, ours), (ours, theirs)))
        if then or now:
            raise InputError(f'{folder!r} contains videos made with {then}, this run has {now}: '
                             'use the same settings or another DST.')
    else:
        json.dump(ours, file)
        file.flush()
        os.fsync(file.fileno())
    return file


def total_size(paths: Iterable[str]) -> int:
    """Size in bytes of those files that exist."""
    return sum(osp.getsize(path) for path in paths if osp.exists(path))
