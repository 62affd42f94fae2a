"""Timing: of several methods interleaved, of the parts of a call, and of what loaders deliver."""
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

CPU = torch.device('cpu')
# Other programs hardly change the CPU time of this process, in which child processes are not
# included; wall time is what a user waits for.
CLOCKS: dict[str, Callable[[], float]] = {
    'cpu': time.process_time, 'wall': time.perf_counter, 'thread': time.thread_time}
REST = 'everything else'


class Clock:
    """One of :data:`CLOCKS`; on a GPU, events in its queue instead."""

    def __init__(self, name: str = 'wall', device: torch.device = CPU) -> None:
        self._on_gpu, self._now = device.type == 'cuda', CLOCKS[name]

    def stamp(self) -> Any:
        """Return a time stamp."""
        if not self._on_gpu:
            return self._now()
        # Not waited for: Python runs ahead of the GPU between two steps, as it does in training.
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, start: Any, end: Any) -> float:
        """Return the seconds between two stamps; a GPU is waited for."""
        if not self._on_gpu:
            return end - start
        end.synchronize()
        return start.elapsed_time(end) / 1000


def interleave(methods: Mapping[str, Callable[..., object]], clock: Clock, rounds: int = 1,
               calls: Sequence[tuple] = ((), )) -> dict[str, np.ndarray]:
    """Time all methods on the same calls (their arguments), in a random order for each call.

    Returns the seconds (rounds * len(calls),) of each method, in the same order of calls.
    """
    order = np.random.default_rng(0)
    # not timed: what a method does only in its first call
    for method in methods.values():
        method(*calls[0])
    stamps: dict[str, list[tuple]] = {name: [] for name in methods}
    for arguments in [*calls] * rounds:
        for name in order.permutation(list(methods)):
            start = clock.stamp()
            methods[name](*arguments)
            stamps[name].append((start, clock.stamp()))
    return {name: np.array([clock.seconds(*pair) for pair in pairs])
            for name, pairs in stamps.items()}


def median_seconds(functions: Sequence[Callable], clock: Clock, rounds: int) -> list[float]:
    """Return the median time of each function, timed interleaved."""
    methods = {str(number): function for number, function in enumerate(functions)}
    return [float(np.median(times)) for times in interleave(methods, clock, rounds).values()]


def speed_up(baseline: np.ndarray, times: np.ndarray) -> str:
    """Return median and quartiles of the paired ratios, as '2.00 (1.87 to 2.16)'."""
    low, median, high = np.percentile(baseline / times, [25, 50, 75])
    return f'{median:.2f} ({low:.2f} to {high:.2f})'


class PartTimer:
    """Divides time among parts that call each other, each without the parts that it calls."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running = [REST]
        self._marks: list[tuple[str, Any]] = []  # the part that begins, and when

    def _mark(self) -> None:
        self._marks.append((self._running[-1], self._clock.stamp()))

    def wrap(self, function: Callable, name: str) -> Callable:
        """Return the function with its calls counted as part ``name``."""
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._running.append(name)
            self._mark()
            try:
                return function(*args, **kwargs)
            finally:
                self._running.pop()
                self._mark()
        return timed

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each part so far."""
        seconds: dict[str, float] = defaultdict(float)
        for (name, start), (_, end) in pairwise(self._marks):
            seconds[name] += self._clock.seconds(start, end)
        return seconds

    def measure(self, function: Callable[[], object]) -> dict[str, float]:
        """Return the seconds of each part of a call, and of the :data:`REST`."""
        self._marks.clear()
        self._mark()
        function()
        self._mark()
        return self.seconds()


@dataclass(frozen=True)
class Delivery:
    """What a data loader delivered, and the seconds that this took per batch."""
    results: list[Any]  # of all batches
    wall: float
    workers: float  # CPU of its workers and the processes that these started
    main: float  # CPU of this process, in all threads


@torch.no_grad()
def deliver(loader: DataLoader, receive: Callable[[dict], Any], batches: int | None = None,
            seconds: float = float('inf')) -> Delivery:
    """Take batches as fast as they come, and ``receive`` each.

    At most ``batches`` are measured, and no further round of all workers after ``seconds``.
    """
    taken = iter(loader)
    # not measured: the first batch of each worker, which contains its start
    results = [receive(batch) for batch in islice(taken, loader.num_workers)]
    before = _clocks()
    for count, batch in enumerate(islice(taken, batches), 1):
        results.append(receive(batch))
        # complete rounds: workers that start together also deliver together
        if count % loader.num_workers == 0 and time.perf_counter() - before[0] >= seconds:
            break
    return Delivery(results, *((now - then) / count
                               for now, then in zip(_clocks(), before, strict=True)))


def _clocks() -> tuple[float, float, float]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), children_seconds(), time.process_time()


def children_seconds() -> float:
    """Return the CPU seconds of all descendants of this process, also of those that ended."""
    parents, seconds = {}, {}
    for file in Path('/proc').glob('[0-9]*/stat'):
        try:
            # split after the name, which may contain spaces
            fields = file.read_text().rpartition(')')[2].split()
        except OSError:
            continue  # it has ended
        pid = int(file.parent.name)
        parents[pid] = int(fields[1])
        seconds[pid] = sum(map(int, fields[11:15])) / os.sysconf('SC_CLK_TCK')
    ended, found = os.times(), {os.getpid()}
    total = ended.children_user + ended.children_system
    while found := {pid for pid, parent in parents.items() if parent in found}:
        total += sum(seconds[pid] for pid in found)
    return total
