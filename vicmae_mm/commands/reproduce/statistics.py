"""Means and differences over seeds, with their 95 % intervals."""
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import sem
from scipy.stats import t as student_t


class Interval(NamedTuple):
    """A mean and the half-width of its 95 % interval, which is not finite for a single value."""

    mean: float
    half: float

    def __str__(self) -> str:
        return f'{self.mean:.1f}' + (f' ± {self.half:.1f}' if math.isfinite(self.half) else '')


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's interval of the mean of independent values."""
    count = len(values)
    half = student_t.ppf(0.975, count - 1) * sem(values) if count > 1 else math.inf
    return Interval(float(np.mean(values)), float(half))


def paired_difference(first: Mapping[int, float], second: Mapping[int, float]) -> Interval | None:
    """``second - first`` over the seeds that both have; None if there are none.

    A seed determines clips, test images and order, so that pairs differ by less than runs do.
    """
    seeds = first.keys() & second.keys()
    return mean_interval([second[seed] - first[seed] for seed in seeds]) if seeds else None


def verdict(paper: float, ours: Interval) -> str:
    """Whether a difference has the sign that it has in the paper."""
    same = paper * ours.mean > 0
    if abs(ours.mean) <= ours.half:
        return f'open, {"same" if same else "opposite"} sign'
    return 'agrees' if same else '**disagrees**'
