"""Random orders of many samples, computed where they are needed instead of stored."""
import math
from collections.abc import Sequence

import numpy as np

MAX_STORED = 2**22  # samples of an epoch whose order is a stored permutation, of 32 MiB
_ROUNDS = 8


class ComputedPermutation:
    """A random permutation of ``range(size)`` in constant memory: ``permutation[places]``.

    A Feistel network permutes the cells of a table that is hardly larger than ``size``; numbers
    outside are permuted again until they are inside (cycle walking). Like a stored permutation, it
    has each number once, but only 2**64 of all permutations can occur.

    Args:
        size (int): Above 0.
        key (int): Numbers >= 0, each combination of which gives another permutation.
    """

    def __init__(self, size: int, *key: int) -> None:
        self._size, self._rows = size, math.isqrt(size - 1) + 1
        self._columns = -(-size // self._rows)
        self._keys = np.random.SeedSequence(key).generate_state(_ROUNDS, np.uint64)

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """The numbers (N,) at some places (N,), int64."""
        numbers = self._permute(places.astype(np.uint64))
        while (outside := numbers >= self._size).any():
            numbers[outside] = self._permute(numbers[outside])
        return numbers.astype(np.int64)

    def _permute(self, cells: np.ndarray) -> np.ndarray:
        row, column = cells // self._columns, cells % self._columns
        for one, two in self._keys.reshape(-1, 2):
            # Halved: a sum that overflows would not be a bijection.
            row = (row + _mix(column ^ one) // 2) % self._rows
            column = (column + _mix(row ^ two) // 2) % self._columns
        return row * self._columns + column


class MixedOrder:
    """Indices of an epoch of several sources, evenly mixed, in constant memory: ``order[places]``.

    As :meth:`MixedPairs.epoch_order` describes it, with the same shares.

    Args:
        counts (Sequence[int]): Samples of each source.
        key (int): As in :class:`ComputedPermutation`.
        shuffle (bool): Shuffle each source, and where its samples are.
    """

    def __init__(self, counts: Sequence[int], *key: int, shuffle: bool) -> None:
        self._counts, self._total, self._shuffle = counts, sum(counts), shuffle
        # Not 0 at the end, which numpy would ignore.
        self._own = [ComputedPermutation(count, *key, number + 1)
                     for number, count in enumerate(counts)]
        self._salts = np.random.SeedSequence([*key, len(counts) + 1]).generate_state(
            len(counts), np.uint64)

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """The indices (N,) at some places (N,), close to each other, except that they may wrap."""
        parts = np.split(places, np.flatnonzero(np.diff(places) < 0) + 1)
        return np.concatenate([self._part(part) for part in parts])

    def _part(self, places: np.ndarray) -> np.ndarray:
        # At a sort key of N / total, fewer samples than there are sources are missing or too many.
        margin = 2 * len(self._counts) + 2
        first, last = int(places.min()) - margin, int(places.max()) + 1 + margin
        keys, indices, before, start = [], [], 0, 0
        for own, salt, count in zip(self._own, self._salts, self._counts, strict=True):
            low = max(0, first * count // self._total)
            numbers = np.arange(low, min(count, -(-last * count // self._total)))
            shift = (_mix(numbers.astype(np.uint64) ^ salt) >> np.uint64(11)) / 2**53
            keys.append((numbers + (shift if self._shuffle else .5)) / count)
            indices.append(start + (own[numbers] if self._shuffle else numbers))
            before, start = before + low, start + count
        order = np.argsort(np.concatenate(keys), kind='stable')
        return np.concatenate(indices)[order[places - before]]


def _mix(numbers: np.ndarray) -> np.ndarray:
    """Random 64-bit numbers of numbers: the finalizer of Vigna's splitmix64."""
    numbers = (numbers ^ numbers >> np.uint64(30)) * np.uint64(0xbf58476d1ce4e5b9)
    numbers = (numbers ^ numbers >> np.uint64(27)) * np.uint64(0x94d049bb133111eb)
    return numbers ^ numbers >> np.uint64(31)
