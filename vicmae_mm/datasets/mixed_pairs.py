"""A mix of several datasets of pairs, in exact shares."""
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement

from vicmae_mm.datasets.bad_videos.skipping_dataset import BadFileSkipping
from vicmae_mm.registry import DATASETS
from vicmae_mm.utils.errors import InputError

from .innermost import build_inner, innermost_datasets
from .samplers import SampleIndex
from .seeded_samples import SeededSamples
from .transforms.frame_pair import at_least


@DATASETS.register_module()
class MixedPairs:
    """Several datasets of pairs, the sources, as one; samples name theirs in ``data_samples``.

    An epoch has every sample of every source once; or, with ``weights`` or ``epoch_length``, a
    number in proportion to the weight (by largest remainders): a source then goes through one
    random permutation after another, from epoch to epoch, so that all are used equally often.

    With ``vicmae_mm.EpochSampler``, the first N samples of an epoch, for any N, have the share of
    each of S sources to within S - 1 samples. A bad file is replaced by another one of its source.

    Args:
        datasets (dict): Sources by name, datasets or their configs, with pipelines of their own.
        weights (dict, optional): Weight of each source, > 0; only ratios count. Defaults to None,
            the number of its samples.
        epoch_length (int, optional): Samples per epoch over all sources and processes. Defaults to
            None, the number of samples of all sources.

    Raises:
        ValueError: An argument is wrong, a source is empty or would get no sample, or another
            sampler than ``EpochSampler`` reads weighted sources.
    """

    metainfo: dict = {}  # mmengine's loops and wrappers expect it

    def __init__(self, datasets: Mapping[str, Any], weights: Mapping[str, float] | None = None,
                 epoch_length: int | None = None) -> None:
        if not isinstance(datasets, Mapping) or not datasets:
            raise InputError('MixedPairs: datasets should be a dict of datasets by name, such as '
                             f'dict(photos=dict(type=...), videos=dict(type=...)), not {datasets}.')
        if weights is not None and not (
                isinstance(weights, Mapping) and {*weights} == {*datasets} and all(
                    isinstance(each, (int, float)) and 0 < each < math.inf
                    for each in weights.values())):
            raise InputError(
                f'MixedPairs: weights={weights} should have a number above 0 for each of '
                f'{", ".join(datasets)}. Remove a dataset that should not be used.')
        self.names = tuple(datasets)
        self.datasets = [_build(name, each) for name, each in datasets.items()]
        self.sizes = [len(each) for each in self.datasets]
        self._is_weighted = weights is not None or epoch_length is not None
        length = sum(self.sizes) if epoch_length is None else at_least(
            'MixedPairs', 1, epoch_length=epoch_length)
        self.counts = largest_remainders(
            [weights[name] for name in self.names] if weights else self.sizes, length)
        if 0 in (*self.sizes, *self.counts):
            raise InputError('MixedPairs: every source needs a sample, and one in an epoch: ' + (
                ', '.join(f'{name} has {size:,}, an epoch {count:,}' for name, size, count in zip(
                    self.names, self.sizes, self.counts, strict=True))) + '.')
        self.starts = np.cumsum([0, *self.counts[:-1]]).tolist()  # the first index of each source
        self._drawn: tuple[tuple[int, int] | None, np.ndarray] = None, np.empty(0)

    def __len__(self) -> int:
        return sum(self.counts)

    def full_init(self) -> None:
        """Do nothing for mmengine's wrappers: the sources are loaded."""

    def __getitem__(self, index: int) -> Any:
        """A sample; the samples that an epoch has of the first source come first, and so on."""
        number, inner = self.locate(index)
        sample = self.datasets[number][inner]
        described = sample.get('data_samples') if isinstance(sample, dict) else None
        if not isinstance(described, BaseDataElement):
            raise InputError(f'MixedPairs: the pipeline of {self.names[number]} should end with '
                             'vicmae_mm.PackFrames, for the data_samples that name the source.')
        described.set_metainfo(dict(source=self.names[number], sources=self.names))
        return sample

    def locate(self, index: int) -> tuple[int, int]:
        """The number of the source that a sample is from, and the index there."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = bisect_right(self.starts, int(index)) - 1
        inner = int(index) - self.starts[number]
        if isinstance(index, SampleIndex):
            if self._is_weighted:
                inner = int(self._draw(index.seed, index.epoch)[int(index)])
            return number, SampleIndex(inner, index.seed, index.epoch, index.origin)
        if self._is_weighted:
            raise InputError('MixedPairs: with weights or epoch_length, epochs differ in samples: '
                             "set train_dataloader.sampler=dict(type='vicmae_mm.EpochSampler').")
        return number, inner

    def epoch_order(self, seed: int, epoch: int, shuffle: bool = True) -> np.ndarray:
        """Indices of an epoch, evenly mixed, for :class:`EpochSampler`."""
        generator = np.random.default_rng((seed, epoch))
        # Sorted by key, the k-th of n samples of a source lies anywhere in [k/n, (k+1)/n]. At a key
        # t, a source with share p has had p t total + e samples, |e| <= 1, and all N. Subtracting p
        # times the sum over sources: |number - p N| <= (1-p) |e| + p (sources-1) <= sources - 1.
        keys = [(np.arange(count) + (generator.random(count) if shuffle else .5)) / count
                for count in self.counts]
        own = [generator.permutation(count) if shuffle else np.arange(count)
               for count in self.counts]
        indices = np.concatenate(own) + np.repeat(self.starts, self.counts)
        return indices[np.argsort(np.concatenate(keys), kind='stable')].astype(np.int32)

    def _draw(self, seed: int, epoch: int) -> np.ndarray:
        """Which samples of its source an epoch has, for weighted sources."""
        if self._drawn[0] != (seed, epoch):
            parts = []
            for number, (size, count) in enumerate(zip(self.sizes, self.counts, strict=True)):
                first, last = epoch * count, (epoch + 1) * count - 1
                passes = [np.random.default_rng((seed, number, each)).permutation(size)
                          for each in range(first // size, last // size + 1)]
                parts.append(np.concatenate(passes)[first % size:][:count].astype(np.int32))
            self._drawn = (seed, epoch), np.concatenate(parts)
        return self._drawn[1]


def _build(name: str, dataset: Any) -> Any:
    dataset = build_inner(f'{name} of MixedPairs', dataset)
    inside = innermost_datasets(dataset, lambda item: isinstance(item, MixedPairs))
    if any(isinstance(each, MixedPairs) for each in inside):
        raise InputError(f'MixedPairs: {name} is or contains a mix. Name all datasets in one.')
    return dataset if isinstance(dataset, BadFileSkipping) else SeededSamples(dataset)


def largest_remainders(shares: Sequence[float], total: int) -> list[int]:
    """Divide a total in integers that are proportional to shares."""
    whole = sum(map(Fraction, shares)) or 1
    exact = [Fraction(share) * total / whole for share in shares]
    counts = [math.floor(each) for each in exact]
    ranked = sorted(range(len(shares)), key=lambda i: counts[i] - exact[i])
    for i in ranked[:total - sum(counts)]:
        counts[i] += 1
    return counts
