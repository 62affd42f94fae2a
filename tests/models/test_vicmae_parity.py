"""The complete model on 1, 2 and 4 processes: same global batch, loss and gradient."""
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.distributed import run_distributed, step, worst_difference
from tests.helpers.models import tiny_vicmae

METHODS = {
    'vicmae': dict(contrast_weight=0.5),
    'mae-simsiam': dict(
        contrast_weight=0.5, pooling=dict(mode='cls'), projector=dict(variant='simsiam'),
        contrast_head=dict(_delete_=True, type='vicmae_mm.SimSiamHead')),
    'mae-vicreg': dict(
        contrast_weight=0.5, pooling=dict(mode='cls'), projector=dict(variant='vicreg'),
        contrast_head=dict(_delete_=True, type='vicmae_mm.VICRegHead')),
}


class SummedLoss(nn.Module):
    """The model as a function of its frames and masking noise."""

    def __init__(self, method: str, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = tiny_vicmae(**METHODS[method]).to(dtype)
        self.forward_backbone = self.model.backbone.forward

    def forward(self, first: Tensor, second: Tensor, noise: Tensor) -> Tensor:
        noise = torch.cat(noise.detach().unbind(1))  # rows of all first frames, then all second
        self.model.backbone.forward = lambda x: self.forward_backbone(x, noise=noise)
        losses = self.model.loss([first, second])
        return sum(value for name, value in losses.items() if name.startswith('loss'))


def step_of_method(method: str, dtype: torch.dtype) -> dict[str, Tensor]:
    torch.manual_seed(1)
    batch = [torch.randn(16, 3, 32, 32, dtype=dtype) for _ in range(2)]
    # Integers, so that the noise gets no gradient; distinct, so that there are no ties.
    noise = torch.stack([torch.stack([torch.randperm(16) for _ in range(2)]) for _ in range(16)])
    result = step(SummedLoss(method, dtype), *batch, noise)
    return {name: value for name, value in result.items() if value is not None}  # fixed tables


def gradient_difference(got: dict[str, Tensor], want: dict[str, Tensor]) -> float:
    """2-norm of the difference of all gradients, relative to that of the gradients."""
    gradients = [name for name in want if name != 'loss' and 'running' not in name]
    squares = [
        sum(float((f(name).double()**2).sum()) for name in gradients)
        for f in (lambda name: got[name] - want[name], want.__getitem__)
    ]
    return (squares[0] / squares[1])**0.5


@pytest.mark.parametrize('method', METHODS)
def test_process_count_does_not_matter(method):
    """fp32 to 1e-6 over all gradients; fp64 to 1e-10 for each of them by itself.

    A bias before a BatchNorm has no gradient but for rounding, so that single
    tensors can only be compared where rounding is far below the tolerance.
    """
    single, exact = (step_of_method(method, dtype) for dtype in (torch.float32, torch.float64))
    for world_size in (2, 4):
        for result in run_distributed(step_of_method, world_size, method, torch.float32):
            assert abs(result['loss'] / single['loss'] - 1) <= 1e-6
            assert gradient_difference(result, single) <= 1e-6
        for result in run_distributed(step_of_method, world_size, method, torch.float64):
            difference, where = worst_difference(result, exact)
            assert difference <= 1e-10, f'{world_size} processes: {where}'
