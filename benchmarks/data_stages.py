"""What one sample costs before it is handed over, stage by stage, in this process."""
import copy
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose as TransformCompose
from mmengine.dataset import Compose as DatasetCompose

from benchmarks.progress import track
from vicmae_mm.datasets.samplers import random_stream
from vicmae_mm.engine.runner_access import innermost_datasets
from vicmae_mm.utils.processes.isolated_call import IsolatedFunction

from .step_timing import time_in_turns

_REPEATS = 50  # of what takes a fraction of a millisecond


class StageTimes:
    """CPU seconds of transforms, each without those inside it.

    Attributes:
        seconds: By name, in the order of the pipeline: ``'PerFrame > RandomFlip'`` is inside.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = [0.]  # seconds of the transforms within each that is under way

    def watch(self, pipeline: Any, prefix: str = '') -> None:
        """Take the time of what a ``Compose`` of mmengine or mmcv holds, from now on."""
        for position, transform in enumerate(pipeline.transforms):
            name = prefix + getattr(transform, '__name__', type(transform).__name__)
            self.seconds.setdefault(name, 0.)
            for part in vars(transform).values() if hasattr(transform, '__dict__') else ():
                if isinstance(part, TransformCompose | DatasetCompose):
                    self.watch(part, f'{name} > ')
            pipeline.transforms[position] = partial(self._timed, name, transform)

    def _timed(self, name: str, transform: Callable[[Any], Any], results: Any) -> Any:
        self._inside.append(0.)
        start = time.process_time()
        try:
            return transform(results)
        finally:
            took = time.process_time() - start
            self.seconds[name] += took - self._inside.pop()
            self._inside[-1] += took


def measure_stages(dataset: Any, indices: Sequence[int]) -> tuple[dict[str, float], list[Any]]:
    """Read samples here, without processes of their own.

    Args:
        dataset: As the data loader has it; a copy of it is read.
        indices: Which samples. The first is read once more, beforehand and unmeasured.

    Returns:
        CPU seconds of a sample in each transform and, as ``'all else'``, outside of them: its
        random streams, its record, and what a dataset does by itself. And the samples.
    """
    dataset, times = copy.deepcopy(dataset), StageTimes()
    for inner in innermost_datasets(dataset):
        if hasattr(inner, 'decode_timeout'):
            inner.decode_timeout = None
        if hasattr(inner, 'pipeline'):
            times.watch(inner.pipeline)
    dataset[indices[0]]
    times.seconds = dict.fromkeys(times.seconds, 0.)
    start = time.process_time()
    samples = [dataset[index] for index in track(indices, 'Reading samples, stage by stage')]
    total = time.process_time() - start
    times.seconds['all else'] = total - sum(times.seconds.values())
    return {name: seconds / len(indices) for name, seconds in times.seconds.items()}, samples


def measure_random_stream(index: int) -> float:
    """CPU seconds that a sample's own random streams take; part of ``'all else'``."""
    def enter() -> None:
        with random_stream(index):
            pass
    return _median_seconds(enter, 'cpu')


def measure_isolation(dataset: Any, sample: Any) -> float:
    """Seconds from one process to another and back with a ready sample; 0 if none is isolated.

    Wall time: both processes work at it in turns.
    """
    timeouts = [dataset.decode_timeout for dataset in innermost_datasets(dataset)
                if getattr(dataset, 'decode_timeout', None) is not None]
    if not timeouts:
        return 0.
    return _median_seconds(IsolatedFunction(lambda: sample, max(timeouts)), 'wall')


def _median_seconds(work: Callable[[], object], clock: str) -> float:
    times = time_in_turns(dict(work=work), _REPEATS, torch.device('cpu'), clock)
    return float(np.median(times['work']))
