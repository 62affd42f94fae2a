"""What reading costs: a sample by stages, a batch on its way to the model, a loader's work."""
import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose as TransformCompose
from mmengine.dataset import Compose as DatasetCompose
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from vicmae_mm.datasets.innermost import innermost_datasets
from vicmae_mm.datasets.samplers import random_stream
from vicmae_mm.utils.processes.batch_ring import ring_collate
from vicmae_mm.utils.processes.isolated_call import IsolatedFunction

from .timing import Clock, PartTimer, children_seconds, deliver, median_seconds

_REPEATS = 50  # of what takes a fraction of a millisecond
_FIRST = 6  # batches


def watch_pipeline(timer: PartTimer, pipeline: Any, prefix: str = '') -> None:
    """Time the transforms of a ``Compose`` by name: ``'PerFrame > RandomFlip'`` is inside."""
    for position, transform in enumerate(pipeline.transforms):
        name = prefix + getattr(transform, '__name__', type(transform).__name__)
        for part in vars(transform).values() if hasattr(transform, '__dict__') else ():
            if isinstance(part, TransformCompose | DatasetCompose):
                watch_pipeline(timer, part, f'{name} > ')
        pipeline.transforms[position] = timer.wrap(transform, name)


def measure_stages(dataset: Any, indices: Sequence[int]) -> tuple[dict[str, float], list[Any]]:
    """Read samples of a copy of the dataset in this process.

    Returns the CPU seconds per sample in each transform and, as ``REST``, outside; the samples.
    """
    dataset, timer = copy.deepcopy(dataset), PartTimer(Clock('cpu'))
    for inner in innermost_datasets(dataset):
        # no process of its own for decoding, whose time would not be counted here
        if hasattr(inner, 'decode_timeout'):
            inner.decode_timeout = None
        if hasattr(inner, 'pipeline'):
            watch_pipeline(timer, inner.pipeline)
    samples: list[Any] = []
    # read once more, untimed: the first sample pays for imports and caches
    dataset[indices[0]]
    seconds = timer.measure(lambda: samples.extend(dataset[index] for index in indices))
    return {name: spent / len(indices) for name, spent in seconds.items()}, samples


def measure_overheads(dataset: Any, index: int, sample: Any) -> tuple[float, float]:
    """Return the seconds of a sample's random streams, and those from another process if used."""
    def enter() -> None:
        with random_stream(index):
            pass

    stream, = median_seconds([enter], Clock('cpu'), _REPEATS)
    timeouts = [inner.decode_timeout for inner in innermost_datasets(dataset)
                if getattr(inner, 'decode_timeout', None) is not None]
    if not timeouts:
        return stream, 0.
    # wall time: the two processes work in turn
    isolated, = median_seconds(
        [IsolatedFunction(lambda: sample, max(timeouts))], Clock('wall'), _REPEATS)
    return stream, isolated


@dataclass(frozen=True)
class Handover:
    """CPU seconds per pair from a ready sample to the model; but for the first in this process."""
    worker: float  # collating and sending
    receive: float  # with pinning, if there is a GPU
    stack: float  # what the worker has not stacked
    to_device: float  # starting the copy
    normalise: float  # starting the rest of the preprocessor; on a CPU, doing it

    @property
    def main(self) -> float:
        """What the training process pays before the device begins."""
        return self.receive + self.stack + self.to_device


def measure_handover(samples: Sequence[Any], collate: Callable, batch_size: int,
                     preprocessor: Any, device: str, num_batches: int | None = None,
                     ring: bool = False) -> Handover:
    """Send ready samples, repeated, through a loader of one worker and the data preprocessor.

    With ``ring``, batches are in the memory that a training uses again and again.
    """
    num_batches = num_batches or min(64, max(4, 4096 // batch_size))
    length = batch_size * (num_batches + _FIRST)
    loader: DataLoader = DataLoader(
        Subset(samples, [index % len(samples) for index in range(length)]),  # type: ignore
        batch_size, num_workers=1, collate_fn=collate, pin_memory=device != 'cpu',
        persistent_workers=True)
    if ring:
        loader.collate_fn = ring_collate(loader)
    batches, pairs = iter(loader), 0
    # not measured: the worker starts, and writes to each slot of a ring for the first time
    for batch in islice(batches, _FIRST):
        preprocessor(dict(batch, inputs=_stacked(batch['inputs'])), True)
    clock, spent, worker = time.process_time, np.zeros(3), children_seconds()
    for _ in range(num_batches):
        marks = [clock()]
        batch = next(batches)
        marks.append(clock())
        batch['inputs'] = _stacked(batch['inputs'])
        marks.append(clock())
        batch = preprocessor.cast_data(batch)
        spent += np.diff([*marks, clock()])
        pairs += count_pairs(batch['inputs'])
    worker = children_seconds() - worker
    # separately: on a CPU, it would slow down what follows it
    start = clock()
    for _ in range(4):
        preprocessor(dict(inputs=batch['inputs'], data_samples=None), True)
    normalise = (clock() - start) / 4 / count_pairs(batch['inputs'])
    receive, stack, to_device = map(float, spent / pairs)
    return Handover(worker / pairs, receive, stack, to_device, normalise)


def measure_delivery(loader: DataLoader, seconds: float) -> tuple[float, float]:
    """Return the pairs per second of a loader, and the CPU seconds per pair of its workers."""
    workers = loader.num_workers
    done = deliver(loader, lambda batch: count_pairs(batch['inputs']),
                   (len(loader) // workers - 1) * workers, seconds)
    pairs = float(np.mean(done.results[workers:]))
    return pairs / done.wall, done.workers / pairs


def count_pairs(inputs: Any) -> int:
    """Count the pairs in a batch's inputs: two views make one; a single view counts as one."""
    if isinstance(inputs, Tensor) or _is_image(inputs[0]):
        return len(inputs)
    return max(len(inputs) // 2, 1) * len(inputs[0])


def _stacked(inputs: Any) -> Any:
    """Stack views that ``pseudo_collate`` has left as lists."""
    if isinstance(inputs, Tensor):
        return inputs
    return torch.stack(inputs) if _is_image(inputs[0]) else [
        view if isinstance(view, Tensor) else torch.stack(view) for view in inputs]


def _is_image(value: Any) -> bool:
    """Whether it is (C, H, W): a list of such is a batch of single views, not stacked."""
    return isinstance(value, Tensor) and value.ndim == 3
