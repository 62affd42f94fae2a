"""Converting many videos into smaller data: the course of it, whatever becomes of a video."""
import argparse
import json
import os.path as osp
import shutil
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from vicmae_mm.utils.atomic_files import atomic_write
from vicmae_mm.utils.errors import InputError
from vicmae_mm.utils.processes.failed_call import FailedCall
from vicmae_mm.utils.processes.pool import num_cores, run_isolated
from vicmae_mm.utils.progress import Progress

Job = TypeVar('Job')

SAMPLE_PER_WORKER = 4


@dataclass(frozen=True)
class Done:
    """What came of a job.

    Attributes:
        problem: What is wrong with the source; '' if it was converted.
        size: Bytes it was converted into.
        seconds: Time it took.
    """
    problem: str = ''
    size: int = 0
    seconds: float = 0.


def add_convert_options(parser: argparse.ArgumentParser, timeout: float) -> None:
    """Add the options of all that make videos smaller; ``timeout`` is the default, in seconds."""
    parser.add_argument('--short-side', type=int, default=256, metavar='PIXELS',
                        help='longest the shorter side may be (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=num_cores(),
                        help='videos at a time (default: %(default)s)')
    parser.add_argument('--timeout', type=float, default=timeout, metavar='SECONDS',
                        help='longest a video may take (default: %(default)s)')


def convert(function: Callable[[Job], Done], jobs: Sequence[Job], num_workers: int,
            timeout: float, action: str, target: str,
            weigh: Callable[[Job], float]) -> Generator[tuple[Job, Done], None, None]:
    """Run jobs in parallel, with a progress bar, and say early what all will take.

    Evenly spread ones go first, as a sample to estimate from. Use within ``contextlib.closing``:
    closing the generator ends all processes at once.

    Args:
        function (Callable): Does a job; of a module that a process of its own can import.
        jobs (Sequence): Hashable.
        num_workers (int): Jobs at a time, >= 1.
        timeout (float): Seconds a job may take.
        action (str): What is done, for the progress bar, such as 'Encoding'.
        target (str): Folder that must have room for the results.
        weigh (Callable): What size and time of a job are proportional to.

    Yields:
        tuple: Job and :class:`Done`, in the order they finish.

    Raises:
        OSError, WorkerError: As :func:`run_isolated` does.
    """
    workers = min(num_workers, len(jobs))
    count = SAMPLE_PER_WORKER * workers
    jobs = sample_first(jobs, count)
    waiting = set(jobs[:count]) if len(jobs) > count else set()
    sample: dict[Job, Done] = {}
    with Progress(action, len(jobs)) as progress, \
            closing(run_isolated(function, jobs, workers, timeout)) as results:
        for job, result in results:
            done = Done(result.reason) if isinstance(result, FailedCall) else result
            progress.advance(bad=bool(done.problem))
            if job in waiting:
                waiting.remove(job)
                if not done.problem:
                    sample[job] = done
                if sample and not waiting:
                    scale = sum(map(weigh, jobs)) / max(sum(map(weigh, sample)), 1)
                    progress.say(_describe_estimate(
                        list(sample.values()), len(jobs), scale, workers, target))
            yield job, done


def sample_first(jobs: Sequence[Job], count: int) -> list[Job]:
    """The jobs with ``count`` evenly spread ones in front, to estimate from."""
    chosen = set(np.linspace(0, len(jobs) - 1, min(count, len(jobs))).round().astype(int).tolist())
    return ([jobs[i] for i in sorted(chosen)]
            + [job for i, job in enumerate(jobs) if i not in chosen])


def _describe_estimate(sample: Sequence[Done], num_jobs: int, scale: float, num_workers: int,
                       target: str) -> str:
    """What all jobs will take, and whether there is room for it."""
    size = sum(done.size for done in sample) * scale
    seconds = sum(done.seconds for done in sample) * scale / num_workers
    text = (f'Estimate from {len(sample)} of {num_jobs:,} videos: {human_size(size)}, '
            f'{human_time(seconds)} with {num_workers} at a time')
    free = shutil.disk_usage(target).free + sum(done.size for done in sample)
    if size > free:
        text += f'\nWARNING: only {human_size(free)} are free in {target}'
    return text


def keep_to_settings(path: str, ours: Mapping[str, Any]) -> None:
    """Note the settings in a new target folder; see that an old one was made with the same.

    Args:
        path (str): The JSON file to note them in; its folder is made.
        ours (Mapping): The settings, of JSON's types.

    Raises:
        ValueError: It was made with others.
    """
    if not osp.exists(path):
        with atomic_write(path) as part, open(part, 'w', encoding='utf-8') as file:
            json.dump(ours, file)
        return
    with open(path, encoding='utf-8') as file:
        theirs = json.load(file)
    if theirs != ours:
        then, now = ({name: value for name, value in one.items() if other.get(name) != value}
                     for one, other in ((theirs, ours), (ours, theirs)))
        raise InputError(f'{osp.dirname(path)!r} holds videos made with {then}, now asked for '
                         f'are {now}: use the same, or another DST.')


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
