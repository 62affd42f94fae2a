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
from torch.utils.data import DataLoader, Dataset

from vicmae_mm.datasets.samplers import random_stream
from vicmae_mm.engine.runner_access import innermost_datasets
from vicmae_mm.utils.processes.isolated_call import IsolatedFunction

from .timing import Clock, PartTimer, children_seconds, deliver, median_seconds

_REPEATS = 50  # of what takes a fraction of a millisecond
_NORMALISED = 4  # times


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

    Returns:
        CPU seconds per sample in each transform and, as ``REST``, outside of them: random
        streams, record and the dataset's own work. And the samples.
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
    """Measure what surrounds reading a sample.

    Returns:
        CPU seconds of its random streams; and seconds that it takes to and from a process of its
        own, 0 if the dataset starts none.
    """
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
    """CPU seconds per pair from a ready sample in a worker to the model."""
    worker: float  # collating and sending
    # in the training process:
    receive: float  # with pinning, if there is a GPU
    stack: float  # what the worker has not stacked
    to_device: float  # starting the copy
    normalise: float  # starting the rest of the preprocessor; on a CPU, doing it

    @property
    def main(self) -> float:
        """What the training process pays before the device begins."""
        return self.receive + self.stack + self.to_device


class _Repeated(Dataset):
    """``length`` samples that need no reading."""

    def __init__(self, samples: Sequence[Any], length: int) -> None:
        self.samples, self.length = samples, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return self.samples[index % len(self.samples)]


def measure_handover(samples: Sequence[Any], collate: Callable, batch_size: int,
                     preprocessor: Any, device: str, num_batches: int | None = None) -> Handover:
    """Send ready samples, repeated, through a loader of one worker and the data preprocessor.

    ``num_batches`` (default: 4,096 pairs, in 4 to 64) are measured, after two that are not.
    """
    num_batches = num_batches or min(64, max(4, 4096 // batch_size))
    loader: DataLoader = DataLoader(
        _Repeated(samples, batch_size * (num_batches + 2)), batch_size, num_workers=1,
        collate_fn=collate, pin_memory=device != 'cpu')
    batches, pairs = iter(loader), 0
    for batch in islice(batches, 2):
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
    for _ in range(_NORMALISED):
        preprocessor(dict(inputs=batch['inputs'], data_samples=None), True)
    normalise = (clock() - start) / _NORMALISED / count_pairs(batch['inputs'])
    receive, stack, to_device = map(float, spent / pairs)
    return Handover(worker / pairs, receive, stack, to_device, normalise)


def measure_delivery(loader: DataLoader, seconds: float) -> tuple[float, float]:
    """Take batches for that long, or to the end of the epoch.

    Returns:
        Pairs per second, and CPU seconds per pair of the workers and what these started.
    """
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
    if _is_image(inputs[0]):
        return torch.stack(inputs)
    return [view if isinstance(view, Tensor) else torch.stack(view) for view in inputs]


def _is_image(value: Any) -> bool:
    """Whether it is (C, H, W): a list of such is a batch of single views, not stacked."""
    return isinstance(value, Tensor) and value.ndim == 3
