"""Gathering over processes: the rows, and the gradient of all losses."""
import pytest
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.utils import digit_version
from torch import Tensor

from tests.helpers.distributed import run_distributed
from vicmae_mm.models import distributed
from vicmae_mm.models.distributed import gather_with_grad

ROWS = 3


def gather_and_backward(backend: str) -> dict[str, Tensor]:
    """A loss that weighs each gathered row differently on each rank."""
    distributed.get_backend = lambda: backend
    rank, world = get_rank(), get_world_size()
    x = torch.arange(2. * ROWS).view(ROWS, 2) + 100 * rank
    # not contiguous, as a slice of a larger batch may be
    x = x.T.contiguous().T.requires_grad_()
    gathered = gather_with_grad(x)
    weights = (1. + rank) * torch.arange(world * ROWS)[:, None]
    (gathered * weights).sum().backward()
    without = gather_with_grad(x.detach())
    return dict(gathered=gathered.detach(), grad=x.grad, without=without)


# gloo of a recent torch does what is only asked of NCCL
@pytest.mark.parametrize('world_size, backend', [(2, 'gloo'), (2, 'nccl'), (4, 'gloo')])
def test_rows_in_rank_order_and_summed_gradient(world_size: int, backend: str) -> None:
    if backend == 'nccl' and digit_version(torch.__version__) < digit_version('2.6'):
        pytest.skip('gloo has no reduce-scatter')
    want = torch.cat([torch.arange(2. * ROWS).view(ROWS, 2) + 100 * r for r in range(world_size)])
    ranks = sum(1 + r for r in range(world_size))
    for rank, got in enumerate(run_distributed(
            gather_and_backward, world_size, backend)):
        assert got['gathered'].equal(want) and got['without'].equal(want)
        own_rows = torch.arange(rank * ROWS, (rank + 1) * ROWS)[:, None]
        assert got['grad'].equal((ranks * own_rows).expand(ROWS, 2).float())


def test_one_process_returns_its_input() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert gather_with_grad(x) is x


def gather_unequal() -> str:
    gather_with_grad(torch.ones(4, 2))
    try:
        gather_with_grad(torch.ones(5 + get_rank(), 2))
    except ValueError as error:
        return str(error)
    return 'no error'


def test_unequal_batches_are_refused_on_every_process() -> None:
    for message in run_distributed(gather_unequal, 2):
        assert 'processes 0..1 have [5, 6]' in message
