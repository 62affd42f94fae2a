"""A mix of several datasets of pairs, in exact shares."""
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from heapq import heappop, heappush
from numbers import Real
from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement

from vicmae_mm.datasets.bad_videos.skipping_dataset import BadFileSkipping
from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError

from .innermost import innermost_datasets
from .samplers import SampleIndex
from .seeded_samples import SeededSamples
from .transforms.frame_pair import at_least


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

    The ``data_samples`` of a sample have the meta information ``source``, its name, and
    ``sources``, all names.

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

    metainfo: dict = {}  # mmengine's loops expect it

    def __init__(self, datasets: Mapping[str, Any], weights: Mapping[str, float] | None = None,
                 epoch_length: int | None = None) -> None:
        if not isinstance(datasets, Mapping) or not datasets:
            raise InputError('MixedPairs: datasets should be a dict of datasets by name, such as '
                             f'dict(photos=dict(type=...), videos=dict(type=...)), not {datasets}.')
        if epoch_length is not None:
            at_least('MixedPairs', 1, epoch_length=epoch_length)
        _check_weights(weights, [*datasets])
        self.names = tuple(datasets)
        self.datasets = [_build(name, each) for name, each in datasets.items()]
        self._sizes = [len(each) for each in self.datasets]
        self._is_weighted = weights is not None or epoch_length is not None
        shares = self._sizes if weights is None else [weights[name] for name in self.names]
        self.counts = largest_remainders(shares, epoch_length or sum(self._sizes))
        for name, size, count in zip(self.names, self._sizes, self.counts, strict=True):
            if not size or not count:
                what = 'is empty' if not size else (
                    f'gets none of the {sum(self.counts):,} samples of an epoch: its share is too '
                    'small for this epoch_length')
                raise InputError(f'MixedPairs: {name} {what}. Correct it, or leave it out.')
        self._ends = np.cumsum(self.counts).tolist()
        self._drawn: tuple[tuple[int, int] | None, np.ndarray] = None, np.empty(0)

    def __len__(self) -> int:
        return self._ends[-1]

    def full_init(self) -> None:
        """Load the sources, as mmengine's wrappers ask; ours already are."""

    def __getitem__(self, index: int) -> Any:
        """A sample; the samples that an epoch has of the first source come first, and so on."""
        number, inner = self._locate(index)
        sample = self.datasets[number][inner]
        described = sample.get('data_samples') if isinstance(sample, dict) else None
        if not isinstance(described, BaseDataElement):
            raise InputError(f'MixedPairs: the pipeline of {self.names[number]} should end with '
                             'vicmae_mm.PackFrames, which makes the data_samples that name the '
                             'source.')
        described.set_metainfo(dict(source=self.names[number], sources=self.names))
        return sample

    @property
    def starts(self) -> list[int]:
        """The first index of each source."""
        return [0, *self._ends[:-1]]

    def locate(self, index: int) -> tuple[Any, int]:
        """The dataset that a sample is from, and the index there."""
        number, inner = self._locate(index)
        return self.datasets[number], inner

    def _locate(self, index: int) -> tuple[int, int]:
        number = bisect_right(self._ends, int(index))
        inner = int(index) - self.starts[number]
        if isinstance(index, SampleIndex):
            if self._is_weighted:
                inner = int(self._draw(index.seed, index.epoch)[int(index)])
            return number, SampleIndex(inner, index.seed, index.epoch, index.origin)
        if self._is_weighted:
            raise InputError(
                'MixedPairs: with weights or epoch_length, the samples of an epoch depend on its '
                "number: set train_dataloader.sampler=dict(type='vicmae_mm.EpochSampler'), whose "
                'indices contain it.')
        return number, inner

    def epoch_order(self, seed: int, epoch: int, shuffle: bool = True) -> np.ndarray:
        """Indices of an epoch, evenly mixed, for :class:`EpochSampler`."""
        order = np.empty(len(self), np.int64)
        generator = np.random.default_rng((seed, epoch))
        for number, (end, count) in enumerate(zip(self._ends, self.counts, strict=True)):
            own = np.arange(end - count, end)
            order[self._pattern == number] = generator.permutation(own) if shuffle else own
        return order

    @cached_property
    def _pattern(self) -> np.ndarray:
        return interleave(self.counts)

    def _draw(self, seed: int, epoch: int) -> np.ndarray:
        """Which samples of its source an epoch has, for weighted sources."""
        if self._drawn[0] != (seed, epoch):
            parts = []
            for number, (size, count) in enumerate(zip(self._sizes, self.counts, strict=True)):
                first, last = epoch * count, (epoch + 1) * count - 1
                passes = [np.random.default_rng((seed, number, each)).permutation(size)
                          for each in range(first // size, last // size + 1)]
                parts.append(np.concatenate(passes)[first % size:][:count].astype(np.int32))
            self._drawn = (seed, epoch), np.concatenate(parts)
        return self._drawn[1]


def _build(name: str, dataset: Any) -> Any:
    try:
        dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
    except (InputError, FileNotFoundError) as error:
        raise type(error)(f'{name} of MixedPairs: {error}') from error
    for each in innermost_datasets(dataset, lambda item: isinstance(item, MixedPairs)):
        if isinstance(each, MixedPairs):
            raise InputError(f'MixedPairs: {name} is or contains a mix itself. Name all datasets '
                             'in one mix; weights divide it.')
    return dataset if isinstance(dataset, BadFileSkipping) else SeededSamples(dataset)


def _check_weights(weights: Mapping[str, float] | None, names: list[str]) -> None:
    if weights is None:
        return
    if not isinstance(weights, Mapping) or {*weights} != {*names}:
        raise InputError(f'MixedPairs: weights={weights} should have one number for each of '
                         f'{", ".join(names)}.')
    for name, weight in weights.items():
        if not isinstance(weight, Real) or isinstance(weight, bool) or not 0 < weight < math.inf:
            raise InputError(f'MixedPairs: weights.{name}={weight!r} should be a number above 0. '
                             f'To train without {name}, leave it out of datasets and weights.')


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
