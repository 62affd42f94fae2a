"""The helper itself: results, errors, hanging ranks."""
import time

import pytest
import torch
from torch import distributed

from tests.helpers.distributed import run_distributed, worst_difference


def sum_of_ranks(offset: int) -> dict[str, torch.Tensor]:
    total = torch.tensor([float(distributed.get_rank() + offset)])
    distributed.all_reduce(total)
    return dict(total=total)


def fail_on_rank_1() -> None:
    if distributed.get_rank() == 1:
        raise KeyError('lost')
    distributed.barrier()


def sleep() -> None:
    time.sleep(60)


def test_results_by_rank() -> None:
    assert [r['total'].item() for r in run_distributed(sum_of_ranks, 3, 10)] == [33.] * 3


def test_errors_come_back() -> None:
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"(?s)rank 1:.*KeyError: 'lost'"):
        run_distributed(fail_on_rank_1, 2)
    assert time.monotonic() - start < 20


def test_hanging_ranks_are_ended() -> None:
    with pytest.raises(RuntimeError, match=r'ranks \[0, 1\] still ran'):
        run_distributed(sleep, 2, timeout=3)


def test_nan_is_no_small_difference() -> None:
    good, bad = {'grad.a.weight': torch.ones(2)}, {'grad.a.weight': torch.tensor([1., torch.nan])}
    assert worst_difference(good, good)[0] == 0
    assert worst_difference(bad, good)[0] == float('inf')
    with pytest.raises(ValueError, match='only one'):
        worst_difference({}, good)
