"""kill -9 at any moment, the same curve (promise 1)."""
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.distributed import run_distributed

from .killed_runs import EPOCHS, EVERY, ITERATIONS, STOCK, notes, opened_videos, train, write_videos

MOMENTS = ('next step', 'forward', 'backward', 'optimizer', 'between epochs', 'loading', 'saving',
           'writing', 'renamed')
LOADERS = ((0, False), (1, False), (4, True), (1, True), (4, False))  # workers, persistent
CASES = [(moment, random.Random(moment).randrange(3, ITERATIONS - 3), *LOADERS[i % len(LOADERS)])
         for i, moment in enumerate(MOMENTS)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Folder of the videos."""
    return write_videos(tmp_path_factory.mktemp('videos'))


@pytest.fixture(scope='module')
def undisturbed(folder, tmp_path_factory) -> Path:
    """Work dir of an uninterrupted run."""
    work_dir = tmp_path_factory.mktemp('undisturbed')
    run_distributed(train, 1, str(folder), str(work_dir), {})
    return work_dir


def loader(workers: int, persistent: bool) -> dict:
    """Settings of the data loader."""
    return {'train_dataloader.num_workers': workers,
            'train_dataloader.persistent_workers': persistent}


def final_state(work_dir: Path) -> dict:
    """Weights, their average, optimizer and schedules at the end."""
    checkpoint = torch.load(work_dir / f'epoch_{EPOCHS}.pth', weights_only=True)
    return {key: checkpoint[key]
            for key in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')}


def assert_identical(got: Any, want: Any) -> None:
    """Bit-identical, through dicts and lists."""
    assert type(got) is type(want)
    if isinstance(want, torch.Tensor):
        assert got.dtype == want.dtype and torch.equal(got, want)
    elif isinstance(want, dict):
        assert got.keys() == want.keys()
        for key in want:
            assert_identical(got[key], want[key])
    elif isinstance(want, (list, tuple)):
        assert len(got) == len(want)
        for pair in zip(got, want, strict=True):
            assert_identical(*pair)
    else:
        assert got == want


def check_resumed(work_dir: Path, undisturbed: Path, done: int, rank: int = 0) -> list[dict]:
    """Check both parts of a run against the undisturbed one; return the records of the second."""
    got, want = notes(work_dir, rank), notes(undisturbed, rank)
    resumed = got[done:]
    assert got[:done] == want[:done]
    assert resumed == want[ITERATIONS - len(resumed):]  # nothing skipped
    # The most that may be lost: an interval, and another while a checkpoint is being written.
    assert 0 <= len(got) - ITERATIONS <= 2 * EVERY
    assert_identical(final_state(work_dir), final_state(undisturbed))
    return resumed


def resume(folder: Path, work_dir: Path, settings: dict, undisturbed: Path) -> None:
    """Resume a killed run, and check that it equals the undisturbed one."""
    done, seen = len(notes(work_dir)), opened_videos(work_dir)
    assert done < ITERATIONS
    run_distributed(train, 1, str(folder), str(work_dir), {**settings, 'resume': True})
    resumed = check_resumed(work_dir, undisturbed, done)
    # no sample before the position was read
    read, = (names for path, names in opened_videos(work_dir).items() if path not in seen)
    assert read == Counter(name for note in resumed for name in note['samples'])


@pytest.mark.parametrize(('moment', 'iteration', 'workers', 'persistent'), CASES)
def test_killed_by_itself(moment, iteration, workers, persistent, folder, undisturbed, tmp_path):
    settings = loader(workers, persistent)
    with pytest.raises(RuntimeError, match=r'ranks \[0\] returned nothing$'):
        run_distributed(train, 1, str(folder), str(tmp_path), settings, (moment, iteration))
    resume(folder, tmp_path, settings, undisturbed)


@pytest.mark.parametrize('seed', [0, 1])
def test_killed_from_outside(seed, folder, undisturbed, tmp_path):
    rng, settings = random.Random(seed), loader(seed, False)
    moment = (tmp_path, rng.randrange(3, 10), rng.random() / 20)
    killer = threading.Thread(target=kill, args=moment, daemon=True)
    killer.start()
    with pytest.raises(RuntimeError, match=r'ranks \[0\] returned nothing$'):
        run_distributed(train, 1, str(folder), str(tmp_path), settings)
    killer.join()
    resume(folder, tmp_path, settings, undisturbed)


def kill(work_dir: Path, steps: int, delay: float) -> None:
    """Kill the run in a work dir some time after the given number of steps."""
    while not list(work_dir.glob('steps_0.jsonl')) or len(notes(work_dir)) < steps:
        time.sleep(.01)
    time.sleep(delay)
    opened, = work_dir.glob('opened_*.txt')
    os.kill(int(opened.stem.removeprefix('opened_')), signal.SIGKILL)


def test_one_of_two_processes_killed(folder, tmp_path):
    run_distributed(train, 2, str(folder), str(tmp_path / 'undisturbed'), {})
    work_dir = tmp_path / 'killed'
    with pytest.raises(RuntimeError, match=r'ranks \[0, 1\] returned nothing'):
        run_distributed(train, 2, str(folder), str(work_dir), {}, ('backward', 7), 1)
    done = [len(notes(work_dir, rank)) for rank in (0, 1)]
    run_distributed(train, 2, str(folder), str(work_dir), {'resume': True})
    for rank in (0, 1):
        check_resumed(work_dir, tmp_path / 'undisturbed', done[rank], rank)


def test_stock_repeats_samples_and_diverges(folder, tmp_path):
    undisturbed, on = tmp_path / 'undisturbed', tmp_path / 'on'
    run_distributed(train, 1, str(folder), str(undisturbed), STOCK)
    checkpoint = dict(resume=True, load_from=str(undisturbed / 'iter_8.pth'))
    run_distributed(train, 1, str(folder), str(on), {**STOCK, **checkpoint})
    want, resumed = notes(undisturbed), notes(on)
    assert [note['iter'] for note in resumed] == list(range(8, ITERATIONS + 3))
    assert resumed[0]['samples'] == want[5]['samples']  # the first batch of the epoch again
    assert not any(note['losses'] == then['losses']
                   for note, then in zip(resumed, want[8:], strict=False))
