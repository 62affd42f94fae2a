"""SyncBN1d equals nn.BatchNorm1d on the global batch."""
from typing import Any

import pytest
import torch
from mmcv.cnn import build_norm_layer
from mmengine.dist import get_rank, get_world_size
from torch import Tensor, nn

from tests.helpers.distributed import run_distributed, step, worst_difference
from vicmae_mm.models.layers import SyncBN1d

C = 5
OPTIONS: list[dict[str, Any]] = [
    dict(), dict(affine=False), dict(momentum=None), dict(track_running_stats=False),
    dict(eps=0.5, momentum=0.3)]
SHAPES = [(8, C), (8, C, 3)]


class Weighted(nn.Module):
    """Two normalisations, and a loss that weighs every row and channel differently."""

    def __init__(self, kind: type[nn.BatchNorm1d], options: dict) -> None:
        super().__init__()
        self.first, self.second = kind(C, **options).double(), kind(C, **options).double()
        self.between = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        return (self.second((self.between * self.first(x)).tanh()).sin() * weight).mean()


def batch(shape: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(3)
    return [3 * torch.randn(shape, dtype=torch.float64) + 2,
            torch.randn(shape, dtype=torch.float64)]


def steps(kind: str) -> list[dict[str, Tensor]]:
    norm = SyncBN1d if kind == 'sync' else nn.BatchNorm1d
    return [step(Weighted(norm, options), *batch(shape))
            for options in OPTIONS for shape in SHAPES]


@pytest.mark.parametrize('world_size', [1, 2, 4])
def test_equals_one_process_with_the_global_batch(world_size: int) -> None:
    """Loss, input and parameter gradients, running statistics, on every rank."""
    alone = steps('torch')
    for results in run_distributed(steps, world_size, 'sync'):
        for got, want in zip(results, alone, strict=True):
            difference, where = worst_difference(got, want)
            assert difference < 1e-12, where


def test_torchs_batch_norm_differs() -> None:
    got = run_distributed(steps, 2, 'torch')[0][0]
    assert worst_difference(got, steps('torch')[0])[0] > 0.05


@pytest.mark.parametrize('options', OPTIONS)
def test_one_process_equals_torch(options: dict) -> None:
    mine, theirs = SyncBN1d(C, **options), nn.BatchNorm1d(C, **options)
    assert mine.state_dict().keys() == theirs.state_dict().keys()
    for train in (True, True, False):
        x = torch.randn(6, C)
        assert mine.train(train)(x).equal(theirs.train(train)(x))
    for key, value in theirs.state_dict().items():
        assert mine.state_dict()[key].equal(value), key
    theirs.load_state_dict(mine.state_dict())


def odd_cases() -> dict[str, Tensor]:
    rank = get_rank()
    out = {}
    # Evaluation does not communicate: one rank alone may do it.
    norm = SyncBN1d(C).eval()
    norm.running_mean.fill_(2.)
    if rank == 0:
        out['eval'] = norm(torch.full((1, C), 3.))
    # unequal batches, one row on the last rank: as torch's SyncBatchNorm allows
    rows = torch.arange(4. * C).view(4, C)
    norm.train()
    out['unequal'] = norm(rows[:3] if rank == 0 else rows[3:])
    out['var'] = norm.running_var
    # far from 0, where E[x^2] - E[x]^2 loses all digits
    torch.manual_seed(0)
    far = 1e4 + torch.randn(64, C)
    out['far'] = SyncBN1d(C)(far.chunk(get_world_size())[rank])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out['half'] = SyncBN1d(C)((far - 1e4).bfloat16().chunk(get_world_size())[rank])
    try:
        SyncBN1d(C)(torch.ones(2, C, 3, 3))
    except ValueError as error:
        out['message'] = str(error)
    return out


def test_odd_cases() -> None:
    first, second = run_distributed(odd_cases, 2)
    torch.testing.assert_close(first['eval'], torch.ones(1, C), rtol=0, atol=1e-4)
    norm = nn.BatchNorm1d(C)
    want = norm(torch.arange(4. * C).view(4, C))
    torch.testing.assert_close(torch.cat([first['unequal'], second['unequal']]), want)
    for got in (first, second):
        torch.testing.assert_close(got['var'], norm.running_var)
    torch.manual_seed(0)
    far = 1e4 + torch.randn(64, C)
    exact = nn.BatchNorm1d(C).double()(far.double()).float()
    torch.testing.assert_close(torch.cat([first['far'], second['far']]), exact, rtol=0, atol=2e-3)
    half = torch.cat([first['half'], second['half']])
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half, nn.BatchNorm1d(C)((far - 1e4).bfloat16()), rtol=0, atol=0.02)
    assert 'expected 2D or 3D input' in first['message']


def test_name_and_errors_are_those_of_torch() -> None:
    name, layer = build_norm_layer(dict(type='vicmae_mm.SyncBN1d'), C, postfix=0)
    assert name == 'bn0' and isinstance(layer, SyncBN1d)
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        layer(torch.ones(1, C))
