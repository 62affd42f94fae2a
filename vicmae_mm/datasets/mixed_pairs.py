"""A mix of several datasets of pairs, in exact shares."""
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from heapq import heappop, heappush
from typing import Any

import numpy as np

from vicmae_mm.datasets.bad_videos.skipping_dataset import BadFileSkipping
from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError

from .samplers import SampleIndex
from .seeded_samples import SeededSamples


@DATASETS.register_module()
class MixedPairs:
    """Several datasets of pairs, the sources, as one.

    By default an epoch has every sample of every source once. With ``weights`` or ``epoch_length``,
    it has a fixed number of samples of each source, proportional to its weight (largest
    remainders); a source goes through one random permutation of its samples after another, from
    epoch to epoch, so that all are used equally often.

    ``vicmae_mm.EpochSampler`` mixes the sources evenly: the first N samples of an epoch have each
    source's share to within one sample, for any N. Which samples these are depends on (seed, epoch)
    alone, as in :class:`VideoPairDataset`. A bad file is replaced by another one of its source.

    The ``data_samples`` of a sample have the meta information ``source``, its name.

    Args:
        datasets (dict): Sources by name, each a dataset or its config with a pipeline of its own.
            One that does not skip bad files is wrapped in :class:`SeededSamples`.
        weights (dict, optional): Weight of each source, > 0; only their ratios count. Defaults to
            None, the number of its samples.
        epoch_length (int, optional): Samples per epoch over all sources and processes. Defaults to
            None, the number of samples of all sources.

    Raises:
        ValueError: An argument is wrong, a source is empty, or would get no sample; or weighted
            sources are read with another sampler than ``EpochSampler``.
    """

    def __init__(self, datasets: Mapping[str, Any], weights: Mapping[str, float] | None = None,
                 epoch_length: int | None = None) -> None:
        self.names = tuple(datasets)
        self.datasets = [_build(datasets[name]) for name in self.names]
        self._sizes = [len(each) for each in self.datasets]
        self._is_weighted = weights is not None or epoch_length is not None
        shares = self._sizes if weights is None else [weights[name] for name in self.names]
        self.counts = largest_remainders(shares, epoch_length or sum(self._sizes))
        self._ends = np.cumsum(self.counts).tolist()
        self._draws: tuple[Any, np.ndarray] = None, np.empty(0)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Any:
        """The sample at a position of the sources' samples of an epoch, source by source."""
        source, inner = self.locate(index)
        sample = self.datasets[source][inner]
        sample['data_samples'].set_metainfo(dict(source=self.names[source]))
        return sample

    def locate(self, index: int) -> tuple[int, int]:
        """The number of the source, and the index there."""
        source = bisect_right(self._ends, int(index))
        inner = int(index) - (self._ends[source - 1] if source else 0)
        if not isinstance(index, SampleIndex):
            if self._is_weighted:
                raise InputError(
                    'MixedPairs with weights or epoch_length has other samples in every epoch: set '
                    "train_dataloader.sampler=dict(type='vicmae_mm.EpochSampler').")
            return source, inner
        if self._is_weighted:
            inner = int(self._drawn(index.seed, index.epoch)[int(index)])
        return source, SampleIndex(inner, index.seed, index.epoch, index.origin)

    def epoch_order(self, seed: int, epoch: int, shuffle: bool = True) -> np.ndarray:
        """Indices of an epoch, evenly mixed, for :class:`EpochSampler`."""
        order = np.empty(len(self), np.int64)
        generator = np.random.default_rng((seed, epoch))
        for source, (end, count) in enumerate(zip(self._ends, self.counts, strict=True)):
            own = np.arange(end - count, end)
            order[self._pattern == source] = generator.permutation(own) if shuffle else own
        return order

    @cached_property
    def _pattern(self) -> np.ndarray:
        return interleave(self.counts)

    def _drawn(self, seed: int, epoch: int) -> np.ndarray:
        """The samples that weighted sources have in an epoch, source by source."""
        if self._draws[0] != (seed, epoch):
            parts = []
            for source, (size, count) in enumerate(zip(self._sizes, self.counts, strict=True)):
                first, last = epoch * count, (epoch + 1) * count - 1
                passes = [np.random.default_rng((seed, source, number)).permutation(size)
                          for number in range(first // size, last // size + 1)]
                parts.append(np.concatenate(passes)[first % size:][:count].astype(np.int32))
            self._draws = (seed, epoch), np.concatenate(parts)
        return self._draws[1]


def _build(dataset: Any) -> Any:
    dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
    return dataset if isinstance(dataset, BadFileSkipping) else SeededSamples(dataset)


def largest_remainders(shares: Sequence[float], total: int) -> list[int]:
    """Divide a total in integers that are proportional to shares, by largest remainders."""
    whole = sum(map(Fraction, shares))
    exact = [Fraction(share) * total / whole for share in shares]
    counts = [math.floor(each) for each in exact]
    ranked = sorted(range(len(shares)), key=lambda i: counts[i] - exact[i])
    for i in ranked[:total - sum(counts)]:
        counts[i] += 1
    return counts


def interleave(counts: list[int]) -> np.ndarray:
    """Number of the source at each place, with n_i places for source i.

    Among the first N places, the number of each source differs from ``N n_i / sum(n)`` by less
    than 1 (Pfair scheduling by earliest deadlines: Baruah et al., Algorithmica 15, 1996).
    """
    repeats = math.gcd(*counts)
    counts = [count // repeats for count in counts]
    total = sum(counts)
    order = np.empty(total, np.int32)
    waiting: list[tuple[int, int, int]] = [(0, source, 0) for source in range(len(counts))]
    ready: list[tuple[int, int, int]] = []
    for place in range(total):
        while waiting and waiting[0][0] <= place:
            _, source, done = heappop(waiting)
            heappush(ready, (-(-(done + 1) * total // counts[source]), source, done + 1))
        _, source, done = heappop(ready)
        order[place] = source
        if done < counts[source]:
            heappush(waiting, (done * total // counts[source], source, done))
    return np.tile(order, repeats)
