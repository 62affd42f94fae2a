"""The runs of tables, in one folder that several machines can share."""
import json
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vicmae_mm.engine.starting.work_dir_lock import (
    WorkDirInUseError,
    lock_work_dir,
    unlock_work_dir,
)
from vicmae_mm.utils.atomic_files import atomic_write, locked
from vicmae_mm.utils.progress import duration, say

from .tables import TABLES

RESULTS = 'results.jsonl'  # of all jobs
FAILED = 'failed.txt'  # in the folder of a job
LOCK = 'shared.lock'  # of what jobs share in a folder


@dataclass(frozen=True)
class Job:
    """Pre-training by a config with a seed, and all evaluations of it."""

    config: str
    seed: int
    evaluations: tuple[str, ...]

    def folder(self, root: Path) -> Path:
        """Where it runs."""
        return root / f'seed{self.seed}' / self.config.replace('/', '_')


def list_jobs(tables: Iterable[int], seeds: Iterable[int]) -> list[Job]:
    """The jobs of tables; a row that several of them share is one job. Seed by seed."""
    wanted: dict[str, dict[str, None]] = {}
    for table in map(TABLES.__getitem__, tables):
        for row in table.rows:
            wanted.setdefault(row.config, {}).update(dict.fromkeys(table.columns.values()))
    return [Job(config, seed, tuple(evaluations))
            for seed in seeds for config, evaluations in wanted.items()]


def run_missing(jobs: list[Job], root: Path, run: Callable[[Job, Path], Iterator[dict[str, float]]]
             ) -> tuple[list[str], list[str]]:
    """Run what has no result yet, in this order; leave out what another process runs.

    ``run`` runs a job in its folder and yields scores by evaluation. It may yield more than the
    evaluations of the job, and is not called if these are there. Returned are the folders of jobs
    that failed, each with the reason in ``failed.txt``, and of those that are running elsewhere.
    """
    failed, elsewhere = [], []
    for number, job in enumerate(jobs):
        folder = job.folder(root)
        try:
            lock_work_dir(str(folder))
        except WorkDirInUseError:
            elsewhere.append(str(folder))
            continue
        try:
            if missing(job, root):
                say(f'[{number + 1}/{len(jobs)}] {job.config}, seed {job.seed}')
                _run(job, root, run)
                (folder / FAILED).unlink(missing_ok=True)
        except Exception as error:  # the other jobs do not depend on it
            (folder / FAILED).write_text(traceback.format_exc())
            failed.append(str(folder))
            say(f'      failed: {error}')
        finally:
            unlock_work_dir(str(folder))
    return failed, elsewhere


def missing(job: Job, root: Path) -> list[str]:
    """The evaluations of a job that have no result."""
    done = {record['evaluation'] for record in read_records(root)
            if (record['config'], record['seed']) == (job.config, job.seed)}
    return [name for name in job.evaluations if name not in done]


def read_records(root: Path) -> list[dict[str, Any]]:
    """The records of all jobs: ``config``, ``seed``, ``evaluation``, ``score`` and ``seconds``."""
    path = root / RESULTS
    return [*map(json.loads, path.read_text().splitlines())] if path.is_file() else []


def _run(job: Job, root: Path, run: Callable[[Job, Path], Iterator[dict[str, float]]]) -> None:
    start = time.monotonic()
    for scores in run(job, job.folder(root)):
        seconds, start = time.monotonic() - start, time.monotonic()
        new = [dict(config=job.config, seed=job.seed, evaluation=evaluation, score=score,
                    seconds=round(seconds, 1)) for evaluation, score in scores.items()]
        with locked(root / LOCK), atomic_write(root / RESULTS) as part:
            records = {(each['seed'], each['config'], each['evaluation']): each
                       for each in read_records(root) + new}  # of several for a result, the last
            part.write_text(''.join(f'{json.dumps(each)}\n' for each in records.values()))
        text = ', '.join(f'{name} {score:.1f}' for name, score in scores.items())
        say(f'      {text} after {duration(seconds)}')
