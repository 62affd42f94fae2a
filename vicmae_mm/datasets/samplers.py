"""A sampler whose indices carry the random stream of the sample."""
import math
from collections.abc import Callable, Iterator, Sized
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import torch
from mmengine.dataset import DefaultSampler

from vicmae_mm.registry import DATA_SAMPLERS
from vicmae_mm.utils.seeding import seeded

MAX_STORED = 2**22  # samples of an epoch whose order is stored, which takes 32 MiB
_AT_ONCE = 2**16  # places of an epoch, over all processes, whose indices are computed together


class SampleIndex(int):
    """A dataset index that also selects the sample's random stream.

    It is an ``int`` for every other purpose.
    """

    seed: int  # of the sampler, >= 0
    epoch: int  # >= 0
    origin: int  # the index drawn by the sampler

    def __new__(cls, value: int, seed: int, epoch: int, origin: int | None = None) -> 'SampleIndex':
        self = super().__new__(cls, value)
        self.seed = seed
        self.epoch = epoch
        self.origin = int(value) if origin is None else origin
        return self

    def __reduce__(self) -> tuple:
        return SampleIndex, (int(self), self.seed, self.epoch, self.origin)

    # torch's and mmengine's ConcatDataset and RepeatDataset compute the inner index by - and %. The
    # stream stays that of the origin: two repeats of a video in an epoch are augmented differently.
    def __sub__(self, other: int) -> 'SampleIndex':
        return SampleIndex(int(self) - other, self.seed, self.epoch, self.origin)

    def __mod__(self, other: int) -> 'SampleIndex':
        return SampleIndex(int(self) % other, self.seed, self.epoch, self.origin)


def random_stream(index: int, stream: int = 0) -> AbstractContextManager[None]:
    """Context whose randomness is a function of an index's (seed, epoch, origin) and of ``stream``.

    A plain integer keeps the process's generators.
    """
    if not isinstance(index, SampleIndex):
        return nullcontext()
    return seeded((index.seed, index.epoch, index.origin), stream)


def computed_permutation(places: np.ndarray, size: int, seed: int, epoch: int) -> np.ndarray:
    """The numbers (N,) at some places (N,) of a random permutation of ``range(size)``.

    It needs no memory. A Feistel network permutes the cells of a table hardly larger than ``size``;
    what gets outside is permuted again, until it is inside (cycle walking).
    """
    rows = math.isqrt(size - 1) + 1
    columns = -(-size // rows)
    keys = np.random.SeedSequence((seed, epoch)).generate_state(8, np.uint64).reshape(4, 2)
    numbers, outside = places.astype(np.uint64), places >= 0
    while outside.any():
        row, column = numbers[outside] // columns, numbers[outside] % columns
        for one, two in keys:
            # Halved: a sum that overflows would not be a bijection.
            row = (row + _mix(column ^ one) // 2) % rows
            column = (column + _mix(row ^ two) // 2) % columns
        numbers[outside] = row * columns + column
        outside = numbers >= size
    return numbers.astype(np.int64)


def _mix(numbers: np.ndarray) -> np.ndarray:
    """Random 64-bit numbers of numbers: the finalizer of Vigna's splitmix64."""
    for shift, factor in ((30, 0xbf58476d1ce4e5b9), (27, 0x94d049bb133111eb), (31, 1)):
        numbers = (numbers ^ numbers >> np.uint64(shift)) * np.uint64(factor)
    return numbers


@DATA_SAMPLERS.register_module()
class EpochSampler(DefaultSampler):
    """mmengine's ``DefaultSampler``, yielding :class:`SampleIndex`.

    The order is that of DefaultSampler; above 4,194,304 samples, :func:`computed_permutation`; that
    of a :class:`MixedPairs` is its own. A dataset that uses the streams (:class:`VideoPairDataset`,
    :class:`PackedFrameDataset`, :class:`SeededSamples`) draws frames and augmentations from (seed,
    epoch, index) alone: a sample is the same for any number of workers and processes, and different
    in every epoch. Other datasets see plain integers, and so does any under mmengine's
    ``ClassBalancedDataset``, which looks its index up in a list.

    mmengine instead seeds a worker with ``num_workers * rank + worker_id + seed``, whatever the
    epoch. With ``persistent_workers=False`` every epoch then repeats the same frames and crops, a
    resumed run repeats those of epoch 0, and another number of workers changes them all.

    Args:
        shuffle (bool): Shuffle every epoch. Defaults to True.
        seed (int, optional): Defaults to a random seed common to all processes; the runner passes
            its own.
        round_up (bool): How to give every process the same number of samples: repeat a few (True)
            or leave a few out (False; DefaultSampler gives some processes one more instead). With
            False and ``drop_last=True``, an epoch has the same batches for any number of
            processes with the same global batch size. Defaults to True.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None,
                 round_up: bool = True) -> None:
        super().__init__(dataset, shuffle, seed, round_up)
        if not round_up:
            self.num_samples = len(dataset) // self.world_size
            self.total_size = self.num_samples * self.world_size
        self._start = 0

    def start_at(self, position: int) -> None:
        """Skip this process's first ``position`` samples when iterating; ``len()`` is unchanged."""
        self._start = position

    def __iter__(self) -> Iterator[int]:
        epoch, size, order = self.epoch, len(self.dataset), self._order()
        step = max(_AT_ONCE // self.world_size, 1)
        for start in range(self._start, self.num_samples, step):
            own = np.arange(start, min(start + step, self.num_samples))
            for index in order((self.rank + own * self.world_size) % size).tolist():
                yield SampleIndex(index, self.seed, epoch)

    def _order(self) -> Callable[[np.ndarray], np.ndarray]:
        """What gives the indices at some places of the epoch."""
        size = len(self.dataset)
        if arrange := getattr(self.dataset, 'epoch_order', None):
            return arrange(self.seed, self.epoch, self.shuffle).take
        if not self.shuffle:
            return np.asarray
        if size > MAX_STORED:
            return partial(computed_permutation, size=size, seed=self.seed, epoch=self.epoch)
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return torch.randperm(size, generator=generator).numpy().take
