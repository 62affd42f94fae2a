"""VICReg against eqs. 3 to 5, computed independently."""
import pytest
import torch
from mmengine.utils import digit_version
from torch import Tensor
from torch.nn import functional as F

from vicmae_mm.models.heads import VICRegHead


def pair(number: int = 7, channels: int = 4) -> list[Tensor]:
    return [0.7 * torch.randn(number, channels, dtype=torch.float64) for _ in range(2)]


def regularisers(x: Tensor, gamma: float, eps: float) -> tuple[float, float]:
    """Eqs. 3 and 4, entry by entry of torch's covariance matrix."""
    covariance = torch.cov(x.T).tolist()
    d = len(covariance)
    variance = sum(max(0., gamma - (covariance[i][i] + eps)**0.5) for i in range(d)) / d
    return variance, sum(
        covariance[i][k]**2 for i in range(d) for k in range(d) if i != k) / d


@pytest.mark.parametrize('normalize', [True, False])
@pytest.mark.parametrize('reduction', ['code', 'paper'])
def test_equals_the_equations(normalize: bool, reduction: str) -> None:
    p, z = pair()
    head = VICRegHead(
        sim=3., std=5., cov=7., gamma=0.9, eps=1e-3, normalize=normalize, reduction=reduction)
    got = float(head.loss(p, z))
    if normalize:
        p, z = F.normalize(p), F.normalize(z)
    distances = [sum((a - b)**2 for a, b in zip(*row, strict=True))
                 for row in zip(p.tolist(), z.tolist(), strict=True)]
    (v_p, c_p), (v_z, c_z) = (regularisers(x, 0.9, 1e-3) for x in (p, z))
    distance = sum(distances) / len(distances)
    if reduction == 'code':  # mse_loss also divides by the channels; the hinges are halved
        distance, v_p, v_z = distance / 4, v_p / 2, v_z / 2
    assert got == pytest.approx(3 * distance + 5 * (v_p + v_z) + 7 * (c_p + c_z), rel=1e-12)


def test_defaults_are_vicregs() -> None:
    """25 mse + 25 (hinge + hinge) / 2 + covariances, gamma 1, eps 1e-4 (decisions, row 32)."""
    p, z = pair()
    (v_p, c_p), (v_z, c_z) = (regularisers(x, 1., 1e-4) for x in (p, z))
    want = 25 * float(F.mse_loss(p, z)) + 25 * (v_p + v_z) / 2 + c_p + c_z
    assert float(VICRegHead().loss(p, z)) == pytest.approx(want, rel=1e-12)


def test_a_predictor_is_for_the_online_branch_in_both_directions() -> None:
    neck = dict(type='mmpretrain.NonLinearNeck', in_channels=4, hid_channels=3, out_channels=4,
                with_avg_pool=False, norm_cfg=dict(type='BN1d'))
    head = VICRegHead(predictor=neck).double()
    p, z = pair()
    predict = torch.nn.Sequential(*(
        getattr(head.predictor, name) for name in ('fc0', 'bn0', 'relu', 'fc1', 'bn1')))
    plain = VICRegHead()
    want = (plain.loss(predict(p), z) + plain.loss(predict(z), p)) / 2
    assert float(head.loss(p, z)) == pytest.approx(float(want), rel=1e-12)
    assert head.loss(p, z) != plain.loss(p, z)


def test_collapse_costs_the_hinge() -> None:
    same = torch.ones(5, 4)
    assert float(VICRegHead(std=2.).loss(same, same)) == pytest.approx(2 * (1 - 1e-4**0.5))


def test_normalised_embeddings_never_meet_the_hinge() -> None:
    """At d=1536 a channel's deviation is 1/sqrt(d), and the hinge about 0.973 (row 32)."""
    p, z = (torch.randn(64, 1536) for _ in range(2))
    hinges = VICRegHead(sim=0., std=1., cov=0., normalize=True).loss(p, z)
    assert float(hinges) == pytest.approx(0.973, abs=2e-3)


def test_gradient() -> None:
    p, z = (x.requires_grad_() for x in pair())
    for options in (dict(), dict(normalize=True, reduction='paper')):
        assert torch.autograd.gradcheck(VICRegHead(**options).loss, (p, z))


def test_autocast_does_not_reduce_precision() -> None:
    p, z = (x.float() for x in pair(16, 8))
    want = VICRegHead().loss(p, z)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        got, half = VICRegHead().loss(p, z), VICRegHead().loss(p.bfloat16(), z.bfloat16())
    assert float(got) == float(want) and half.dtype == torch.float32


@pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.4'), reason='dynamo is too young')
def test_compiles_in_one_graph() -> None:
    p, z = pair()
    head = VICRegHead()
    compiled = torch.compile(head.loss, backend='eager', fullgraph=True)
    torch.testing.assert_close(compiled(p, z), head.loss(p, z))


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"one of \('code', 'paper'\), got 'mean'"):
        VICRegHead(reduction='mean')
    with pytest.raises(ValueError, match='at least 2 pairs'):
        VICRegHead().loss(torch.ones(1, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match='of one shape'):
        VICRegHead().loss(torch.ones(2, 3), torch.ones(3, 3))
