"""InfoNCE against loops, closed forms and the numbers of docs/decisions.md, row 8."""
import math

import pytest
import torch
from mmengine.utils import digit_version
from torch import Tensor
from torch.nn import functional as F

from vicmae_mm.models.heads import InfoNCEHead


def pairs(number: int = 6, channels: int = 5, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [torch.randn(number, channels, dtype=dtype) for _ in range(2)]


def by_loops(online: Tensor, target: Tensor, videos: list[int], temperature: float,
             symmetric: bool, negatives: str) -> Tensor:
    """Eq. 7, one pair and one candidate at a time."""
    branches = [F.normalize(online), F.normalize(target)]
    losses = []
    for own in (0, 1) if symmetric else (0, ):
        for n, anchor in enumerate(branches[own]):
            positive = (anchor @ branches[1 - own][n] / temperature).exp()
            denominator = positive
            for branch in (0, 1) if negatives == 'both' else (1 - own, ):
                for k, candidate in enumerate(branches[branch]):
                    if videos[k] != videos[n]:
                        denominator = denominator + (anchor @ candidate / temperature).exp()
            losses.append(-(positive / denominator).log())
    return torch.stack(losses).mean()


@pytest.mark.parametrize('symmetric', [True, False])
@pytest.mark.parametrize('negatives', ['both', 'target'])
@pytest.mark.parametrize('videos', [None, [0, 1, 2, 0, 1, 2], [3, 3, 3, 7, 1, 7]])
def test_equals_the_equation(symmetric: bool, negatives: str, videos: list[int] | None) -> None:
    head = InfoNCEHead(temperature=0.3, symmetric=symmetric, negatives=negatives)
    online, target = pairs()
    got = head.loss(online, target, None if videos is None else torch.tensor(videos))
    want = by_loops(online, target, videos or list(range(6)), 0.3, symmetric, negatives)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=0)


@pytest.mark.parametrize('negatives, candidates', [('both', 2 * 8 - 1), ('target', 8)])
def test_collapsed_embeddings_cost_the_log_of_the_candidates(negatives: str,
                                                             candidates: int) -> None:
    same = torch.ones(8, 4)
    loss = InfoNCEHead(negatives=negatives).loss(same, same)
    assert float(loss) == pytest.approx(math.log(candidates))


def test_perfect_embeddings() -> None:
    """Pairs equal, videos orthogonal: one candidate at similarity 1, 2(N-1) at 0."""
    axes = 7. * torch.eye(8)
    assert float(InfoNCEHead(temperature=0.5).loss(axes, axes)) == pytest.approx(
        math.log(math.exp(2) + 14) - 2)


@pytest.mark.parametrize('options, value', [
    (dict(symmetric=False, negatives='target'), 4.430),
    (dict(symmetric=False), 5.106),
    (dict(), 5.117),
])
def test_values_of_the_spec(options: dict, value: float) -> None:
    """Random embeddings, B=64, temperature 0.1 (row 8); one draw varies by about 0.1."""
    head = InfoNCEHead(**options)
    mean = torch.stack([head.loss(*pairs(64, 192)) for _ in range(20)]).mean()
    assert mean.item() == pytest.approx(value, abs=0.05)


def test_gradient() -> None:
    online, target = (x.requires_grad_() for x in pairs(4, 3))
    videos = torch.tensor([0, 1, 1, 2])
    assert torch.autograd.gradcheck(lambda a, b: InfoNCEHead().loss(a, b, videos),
                                    (online, target))


def test_video_alone_in_the_batch_is_not_nan() -> None:
    online, target = (x.requires_grad_() for x in pairs(3, 4))
    loss = InfoNCEHead().loss(online, target, torch.zeros(3, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0 and not online.grad.any() and not target.grad.any()


def test_autocast_does_not_reduce_precision() -> None:
    online, target = pairs(16, 32, torch.float32)
    want = InfoNCEHead().loss(online, target)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        got = InfoNCEHead().loss(online, target)
        half = InfoNCEHead().loss(online.bfloat16(), target.bfloat16())
    assert got.dtype == half.dtype == torch.float32
    assert float(got) == float(want)
    assert float(half) == pytest.approx(float(want), rel=0.02)


@pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.4'), reason='dynamo is too young')
def test_compiles_in_one_graph() -> None:
    online, target = pairs()
    head = InfoNCEHead()
    compiled = torch.compile(head.loss, backend='eager', fullgraph=True)
    torch.testing.assert_close(compiled(online, target), head.loss(online, target))


@pytest.mark.parametrize('options, message', [
    (dict(negatives='all'), r"one of \('both', 'target'\), got 'all'"),
    (dict(temperature=0.), 'above 0, got 0.0'),
    (dict(across_sources='no'), r"across_sources must be one of \(True, False\), got 'no'"),
])
def test_refuses_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InfoNCEHead(**options)


def test_refuses_wrong_shapes() -> None:
    head = InfoNCEHead()
    with pytest.raises(ValueError, match=r'got \(4, 3\) and \(3, 3\)'):
        head.loss(torch.ones(4, 3), torch.ones(3, 3))
    with pytest.raises(ValueError, match=r'each of the 4 pairs, shape \(4,\), got shape \(8,\)'):
        head.loss(torch.ones(4, 3), torch.ones(4, 3), torch.arange(8))
