"""What a data loader delivers, and what that costs its workers and the process that trains."""
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.progress import track, track_time

_NORMALISED = 4  # times


@dataclass(frozen=True)
class Delivery:
    """What a data loader did.

    Attributes:
        rate: Pairs a second.
        workers: CPU seconds a pair of its workers and all processes that these have started.
    """
    rate: float
    workers: float


@dataclass(frozen=True)
class Handover:
    """What it costs to get ready samples from a worker to the model, in CPU seconds a pair.

    Attributes:
        worker: Collating and sending, in the worker.
        receive: Receiving, and pinning where there is a GPU, in the process that trains.
        stack: Stacking there what the worker has not.
        to_device: Starting the copy to the device.
        normalise: Starting the rest of the preprocessor; on a CPU doing it.
    """
    worker: float
    receive: float
    stack: float
    to_device: float
    normalise: float

    @property
    def main(self) -> float:
        """What the process that trains pays before the device begins."""
        return self.receive + self.stack + self.to_device


def measure_delivery(loader: DataLoader, seconds: float) -> Delivery:
    """Take batches as fast as they come.

    The first round of all workers, with their start in it, is not measured. Whole rounds are,
    for workers that begin together also deliver together.

    Args:
        loader: With workers.
        seconds: How long at least; all of an epoch, if that is shorter.
    """
    round_size, batches = loader.num_workers, iter(loader)
    for _ in track(range(round_size), 'Starting the workers'):
        next(batches)
    rounds = range(len(loader) // round_size - 1)
    start, workers_before, pairs = time.perf_counter(), children_seconds(), 0
    for _ in zip(rounds, track_time(seconds, 'Taking batches'), strict=False):
        pairs += sum(count_pairs(next(batches)['inputs']) for _ in range(round_size))
    wall, workers = time.perf_counter() - start, children_seconds() - workers_before
    return Delivery(rate=pairs / wall, workers=workers / pairs)


def measure_handover(samples: Sequence[Any], collate: Callable, batch_size: int,
                     preprocessor: Any, device: str, num_batches: int) -> Handover:
    """Send ready samples through a data loader of one worker and the data preprocessor.

    Args:
        samples: Of a dataset; taken again and again.
        collate: Of the data loader.
        batch_size: Samples a batch.
        preprocessor: Of the model, on ``device``.
        device: ``'cuda'`` has the batches pinned.
        num_batches: How many are measured, after two that are not.
    """
    loader: DataLoader = DataLoader(
        _Again(samples, batch_size * (num_batches + 2)), batch_size, num_workers=1,
        collate_fn=collate, pin_memory=device != 'cpu')
    clock, spent, pairs, batches = time.process_time, [0.] * 3, 0, iter(loader)
    for batch in islice(batches, 2):
        preprocessor(dict(batch, inputs=_stacked(batch['inputs'])), True)
    worker = children_seconds()
    for _ in range(num_batches):
        marks = [clock()]
        batch = next(batches)
        marks.append(clock())
        batch['inputs'] = _stacked(batch['inputs'])
        marks.append(clock())
        batch = preprocessor.cast_data(batch)
        marks.append(clock())
        spent = [sum_ + end - start for sum_, start, end
                 in zip(spent, marks[:-1], marks[1:], strict=True)]
        pairs += count_pairs(batch['inputs'])
    worker = children_seconds() - worker
    start = clock()
    for _ in range(_NORMALISED):  # by itself: on a CPU it would slow down what comes after it
        preprocessor(dict(inputs=batch['inputs'], data_samples=None), True)
    normalise = (clock() - start) / _NORMALISED / count_pairs(batch['inputs'])
    receive, stack, to_device = (seconds / pairs for seconds in spent)
    return Handover(worker / pairs, receive, stack, to_device, normalise)


def count_pairs(inputs: Any) -> int:
    """Pairs in the inputs of a batch: two views make one; a single view counts as one."""
    if isinstance(inputs, Tensor) or _is_picture(inputs[0]):
        return len(inputs)
    return max(len(inputs) // 2, 1) * len(inputs[0])


def _stacked(inputs: Any) -> Any:
    """Views as tensors, also those that ``pseudo_collate`` has left as lists."""
    if isinstance(inputs, Tensor):
        return inputs
    if _is_picture(inputs[0]):
        return torch.stack(inputs)
    return [view if isinstance(view, Tensor) else torch.stack(view) for view in inputs]


def _is_picture(value: Any) -> bool:
    """Whether it is (C, H, W): in a list of such, no views are stacked, or a sample's only one."""
    return isinstance(value, Tensor) and value.ndim == 3


class _Again(Dataset):
    """``length`` samples that need no reading."""

    def __init__(self, samples: Sequence[Any], length: int) -> None:
        self.samples, self.length = samples, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return self.samples[index % len(self.samples)]


def children_seconds() -> float:
    """CPU seconds of all processes below this one, also of those that have ended."""
    parents, seconds = {}, {}
    for file in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = file.read_text().rpartition(')')[2].split()  # the name may hold spaces
        except OSError:
            continue  # it has ended
        pid = int(file.parent.name)
        parents[pid] = int(fields[1])
        seconds[pid] = sum(map(int, fields[11:15])) / os.sysconf('SC_CLK_TCK')
    ended = os.times()
    return ended.children_user + ended.children_system + sum(
        spent for pid, spent in seconds.items() if _is_below(pid, parents))


def _is_below(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == os.getpid():
            return True
    return False
