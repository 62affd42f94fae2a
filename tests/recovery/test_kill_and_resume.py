"""kill -9 at any moment, the same curve (promise 1)."""
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.distributed import run_distributed

from .killed_runs import EVERY, ITERATIONS, train, write_videos

MOMENTS = ('next step', 'forward', 'backward', 'optimizer', 'between epochs', 'loading')
LOADERS = ((0, False), (1, False), (4, True), (1, True), (4, False))
CASES = [(moment, random.Random(moment).randrange(3, ITERATIONS - 3), LOADERS[i % len(LOADERS)])
         for i, moment in enumerate(MOMENTS)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Where the videos are."""
    return write_videos(tmp_path_factory.mktemp('videos'))


@pytest.fixture(scope='module')
def undisturbed(folder, tmp_path_factory) -> Path:
    """Work dir of a run that nobody stops."""
    work_dir = tmp_path_factory.mktemp('undisturbed')
    run_distributed(train, 1, str(folder), str(work_dir), {})
    return work_dir


def notes(work_dir: Path, rank: int = 0) -> list[dict]:
    """What each step wrote down."""
    return [json.loads(line) for line in (work_dir / f'steps_{rank}.jsonl').open()]


def opened(work_dir: Path) -> dict[Path, Counter]:
    """The videos opened by each run."""
    return {path: Counter(path.read_text().split()) for path in work_dir.glob('opened_*.txt')}


def final_state(work_dir: Path) -> dict:
    """Weights, their average, optimizer and schedules at the end."""
    checkpoint = torch.load(work_dir / f'iter_{ITERATIONS}.pth', weights_only=True)
    return {key: checkpoint[key]
            for key in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')}


def assert_identical(got: Any, want: Any) -> None:
    """Equal to the last bit, through dicts and lists."""
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


@pytest.mark.parametrize('case', CASES, ids=lambda case: case[0])
def test_same_curve(case, folder, undisturbed, tmp_path):
    moment, iteration, (workers, persistent) = case
    settings = {'train_dataloader.num_workers': workers,
                'train_dataloader.persistent_workers': persistent}
    with pytest.raises(RuntimeError, match=r'ranks \[0\] returned nothing$'):
        run_distributed(train, 1, str(folder), str(tmp_path), settings, (moment, iteration))
    done, seen = notes(tmp_path), opened(tmp_path)
    assert len(done) < ITERATIONS
    run_distributed(train, 1, str(folder), str(tmp_path), {**settings, 'resume': True})

    want = notes(undisturbed)
    resumed = notes(tmp_path)[len(done):]
    assert done == want[:len(done)]
    assert resumed == want[ITERATIONS - len(resumed):]  # nothing skipped
    assert 0 <= len(done) + len(resumed) - ITERATIONS < EVERY + 1
    assert_identical(final_state(tmp_path), final_state(undisturbed))
    # no sample before the position was read
    read, = (names for path, names in opened(tmp_path).items() if path not in seen)
    assert read == Counter(name for note in resumed for name in note['samples'])
