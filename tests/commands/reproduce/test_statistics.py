"""Means and differences over seeds."""
import math

import pytest

from vicmae_mm.commands.reproduce.statistics import (
    Interval,
    mean_interval,
    paired_difference,
    verdict,
)


def test_the_interval_is_students():
    # 4.302653 is the 97.5 % quantile of Student's t with two degrees of freedom.
    assert mean_interval([1, 2, 3]) == pytest.approx((2, 4.302653 / math.sqrt(3)), abs=1e-6)
    assert str(mean_interval([1, 2, 3])) == '2.0 ± 2.5'
    assert mean_interval([5]) == (5, math.inf) and str(mean_interval([5])) == '5.0'


def test_differences_are_paired_by_seed():
    first, second = {0: 10., 1: 90., 2: 50., 7: 0.}, {2: 51., 1: 91., 0: 11., 5: 99.}
    assert paired_difference(first, second) == pytest.approx((1, 0))
    assert paired_difference({0: 1.}, {1: 1.}) is None


@pytest.mark.parametrize(('paper', 'ours', 'expected'), [
    (2, Interval(1, 0.5), 'agrees'), (-2, Interval(-1, 0.5), 'agrees'),
    (2, Interval(-1, 0.5), '**disagrees**'), (2, Interval(1, 1.5), 'open, same sign'),
    (2, Interval(-1, 1.5), 'open, opposite sign'), (2, Interval(9, math.inf), 'open, same sign')])
def test_a_sign_counts_if_the_interval_excludes_zero(paper, ours, expected):
    assert verdict(paper, ours) == expected
