"""SimSiam against eq. 2 and mmpretrain's own parts."""
import pytest
import torch
from mmpretrain.models.heads import LatentPredictHead
from mmpretrain.models.losses import CosineSimilarityLoss
from torch import Tensor
from torch.nn import functional as F

from vicmae_mm.models.heads import SimSiamHead

PREDICTOR = dict(
    type='mmpretrain.NonLinearNeck', in_channels=6, hid_channels=4, out_channels=6,
    with_avg_pool=False, with_last_bn=False, with_last_bias=True,
    norm_cfg=dict(type='vicmae_mm.SyncBN1d'))


def pair(number: int = 8, channels: int = 6) -> list[Tensor]:
    return [torch.randn(number, channels, requires_grad=True) for _ in range(2)]


def test_equals_the_squared_distance_of_eq_2() -> None:
    online, target = pair()
    distance = (F.normalize(online) - F.normalize(target)).square().sum(1).mean()
    torch.testing.assert_close(SimSiamHead(predictor=None).loss(online, target), distance)
    torch.testing.assert_close(
        CosineSimilarityLoss(shift_factor=2., scale_factor=2.)(online, target), distance)


@pytest.mark.parametrize('sign, value', [(1, 0.), (-1, 4.)])
def test_range(sign: int, value: float) -> None:
    online, _ = pair()
    loss = SimSiamHead(predictor=None).loss(online, sign * 3 * online)
    assert loss.item() == pytest.approx(value, abs=1e-6)


def test_equals_mmpretrains_head_both_ways() -> None:
    head = SimSiamHead(PREDICTOR)
    reference = LatentPredictHead(
        loss=dict(type='CosineSimilarityLoss', shift_factor=2., scale_factor=2.),
        predictor=PREDICTOR)
    reference.load_state_dict(head.state_dict())
    online, target = pair()
    got = head.loss(online, target)
    want = 0.5 * (reference.loss(online, target) + reference.loss(target, online))
    torch.testing.assert_close(got, want)
    for mine, theirs in zip(torch.autograd.grad(got, (online, target)),
                            torch.autograd.grad(want, (online, target)), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_stop_grad_halves_the_gradient_without_a_predictor() -> None:
    """Without a predictor both directions have the same gradient; stop_grad leaves half of it."""
    online, target = pair()
    stopped, free = (
        torch.autograd.grad(
            SimSiamHead(predictor=None, stop_grad=stop).loss(online, target), online)[0]
        for stop in (True, False))
    torch.testing.assert_close(2 * stopped, free)


def test_default_predictor_is_simsiams() -> None:
    shapes = {name: tuple(p.shape) for name, p in SimSiamHead().named_parameters()}
    assert shapes == {
        'predictor.fc0.weight': (512, 2048), 'predictor.bn0.weight': (512, ),
        'predictor.bn0.bias': (512, ), 'predictor.fc1.weight': (2048, 512),
        'predictor.fc1.bias': (2048, )}
    assert type(SimSiamHead().predictor.bn0).__name__ == 'SyncBN1d'


def test_autocast_does_not_reduce_precision() -> None:
    online, target = pair()
    head = SimSiamHead(predictor=None)
    want = head.loss(online, target)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert head.loss(online, target).item() == want.item()
        half = SimSiamHead(PREDICTOR).loss(online.bfloat16(), target.bfloat16())
    assert half.dtype == torch.float32 and half.isfinite()


def test_refuses_wrong_shapes() -> None:
    with pytest.raises(ValueError, match=r'got \(4, 6\) and \(4, 5\)'):
        SimSiamHead(predictor=None).loss(torch.ones(4, 6), torch.ones(4, 5))
