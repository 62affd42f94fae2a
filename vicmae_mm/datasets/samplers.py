"""A sampler whose indices say which epoch they belong to."""
from collections.abc import Iterator, Sized
from contextlib import AbstractContextManager, nullcontext
from itertools import islice

from mmengine.dataset import DefaultSampler

from vicmae_mm.registry import DATA_SAMPLERS
from vicmae_mm.utils.seeding import seeded


class SampleIndex(int):
    """A dataset index that also names the sample's random stream.

    It is an ``int`` wherever one is wanted. Subtraction and modulo, with which
    mmengine's and torch's ``ConcatDataset`` and mmengine's ``RepeatDataset``
    turn their index into the inner dataset's, change the value and keep the
    stream: two repeats of one video in an epoch get different augmentations.

    Args:
        value (int): Index into the dataset.
        seed (int): Seed of the sampler, >= 0.
        epoch (int): Epoch, >= 0.
        origin (int, optional): The index the sampler drew. Defaults to ``value``.
    """

    seed: int
    epoch: int
    origin: int

    def __new__(cls, value: int, seed: int, epoch: int, origin: int | None = None) -> 'SampleIndex':
        self = super().__new__(cls, value)
        self.seed = seed
        self.epoch = epoch
        self.origin = int(value) if origin is None else origin
        return self

    def __reduce__(self) -> tuple:
        return SampleIndex, (int(self), self.seed, self.epoch, self.origin)

    def __sub__(self, other: int) -> 'SampleIndex':
        return SampleIndex(int(self) - other, self.seed, self.epoch, self.origin)

    def __mod__(self, other: int) -> 'SampleIndex':
        return SampleIndex(int(self) % other, self.seed, self.epoch, self.origin)

    def random_stream(self, attempt: int = 0) -> AbstractContextManager[None]:
        """A block in which all randomness is a function of (seed, epoch, origin, attempt)."""
        return seeded((self.seed, self.epoch, self.origin), attempt)


def random_stream(index: int) -> AbstractContextManager[None]:
    """A block with the random stream that an index names; with the process's for a plain int."""
    return index.random_stream() if isinstance(index, SampleIndex) else nullcontext()


@DATA_SAMPLERS.register_module()
class EpochSampler(DefaultSampler):
    """mmengine's ``DefaultSampler``, yielding :class:`SampleIndex`.

    The order is DefaultSampler's. A dataset that understands the indices
    (:class:`VideoPairDataset`) then draws frames and augmentations from
    (seed, epoch, index) alone, so a sample is the same for any number of
    workers and processes, and another one every epoch.

    Why it is needed: mmengine seeds a worker with ``num_workers * rank +
    worker_id + seed``, whatever the epoch. With ``persistent_workers=False``
    every epoch repeats the same frames and crops, a resumed run repeats those
    of epoch 0, and another number of workers changes them all.

    Other datasets read a SampleIndex as the plain integer it is. mmengine's
    ``ClassBalancedDataset`` looks its index up in a list, which loses the
    stream: under it a sample draws from the worker's generators, as usual.

    Args:
        dataset (Sized): The dataset.
        shuffle (bool): Shuffle every epoch. Defaults to True.
        seed (int, optional): The runner passes its own; without one, a random
            seed common to all processes.
        round_up (bool): Whether to repeat a few samples, or else to leave a few
            out, so that every process gets equally many. (DefaultSampler gives
            some processes one more instead of leaving any out.) With False and
            ``drop_last=True`` an epoch has the same batches for any number of
            processes with the same global batch. Defaults to True.
    """

    dataset: Sized

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None,
                 round_up: bool = True) -> None:
        super().__init__(dataset, shuffle, seed, round_up)
        if not round_up:
            self.num_samples = len(dataset) // self.world_size
            self.total_size = self.num_samples * self.world_size
        self._start = 0

    def start_at(self, position: int) -> None:
        """Begin iterating at a later sample; the length stays that of a whole epoch.

        Args:
            position (int): Number of this process's samples to leave out, from 0.
        """
        self._start = position

    def __iter__(self) -> Iterator[int]:
        epoch = self.epoch
        for index in islice(super().__iter__(), self._start, None):
            yield SampleIndex(index, self.seed, epoch)
