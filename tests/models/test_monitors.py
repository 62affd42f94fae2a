"""The monitors on batches with known results."""
import math

import pytest
import torch

from vicmae_mm.models import monitors
from vicmae_mm.models.monitors import embedding_spread, global_monitors, pair_hits


def embedding_std(z):
    return embedding_spread(z)[0]


def embedding_rank(z):
    return embedding_spread(z)[1]


def pair_accuracy(a, b):
    return pair_hits(a, b).mean()


def test_isotropic_embeddings_have_std_one() -> None:
    for width in (16, 512):
        assert embedding_std(torch.randn(4096, width)).item() == pytest.approx(1, abs=0.02)


def test_collapsed_embeddings_have_std_zero() -> None:
    assert embedding_std(torch.ones(8, 4)).item() == 0
    # On one line, of any length: normalised, they are one point.
    assert embedding_std(torch.arange(1., 9)[:, None] * torch.ones(8, 4)).item() < 1e-6


def test_std_equals_simsiams() -> None:
    z = torch.randn(6, 3, dtype=torch.float64)
    rows = [[v / math.hypot(*row) for v in row] for row in z.tolist()]
    stds = []
    for channel in zip(*rows, strict=True):
        mean = sum(channel) / 6
        stds.append((sum((v - mean)**2 for v in channel) / 6)**0.5)
    assert embedding_std(z).item() == pytest.approx(sum(stds) / 3 * 3**0.5)


@pytest.mark.parametrize('shape', [(6, 40), (40, 6), (5, 5)])
def test_rank_is_the_participation_ratio_of_the_eigenvalues(shape) -> None:
    z = torch.randn(shape, dtype=torch.float64) * torch.linspace(.1, 3, shape[1]) + 1
    unit = z / z.norm(dim=1, keepdim=True)
    eigenvalues = torch.linalg.eigvalsh(torch.cov(unit.T, correction=0))
    want = eigenvalues.sum()**2 / (eigenvalues**2).sum()
    assert embedding_rank(z).item() == pytest.approx(want.item(), rel=1e-9)
    assert 1 < want < min(shape)


def test_rank_counts_directions() -> None:
    assert embedding_rank(torch.randn(4096, 16)).item() == pytest.approx(16, abs=0.2)
    axes = torch.eye(8)[:3]
    assert embedding_rank(torch.cat((axes, -axes))).item() == pytest.approx(3)
    assert embedding_rank(torch.cat((axes[:1], -axes[:1]))).item() == pytest.approx(1)
    assert embedding_rank(torch.ones(8, 4)).item() == 0


def test_pair_accuracy_counts_the_pairs_found() -> None:
    axes = torch.eye(4)
    assert pair_accuracy(axes, 5 * axes).item() == 1
    assert pair_accuracy(axes, axes[[0, 1, 3, 2]]).item() == 0.5
    assert pair_accuracy(axes, -axes).item() == 0
    assert pair_accuracy(torch.ones(4, 3), torch.ones(4, 3)).item() == 0.25  # chance


def test_similarity_is_the_cosine() -> None:
    """A long embedding of another video is not nearer."""
    a = torch.tensor([[1., 0.], [0., 1.]])
    b = torch.tensor([[1., 0.], [50., 60.]])
    assert pair_accuracy(a, b).item() == 1


def test_no_gradient_and_half_precision() -> None:
    z = torch.randn(8, 4, requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = z.bfloat16()
        values = [embedding_std(half), pair_accuracy(half, half), embedding_rank(half)]
    for value in values:
        assert not value.requires_grad and value.dtype == torch.float32
    assert values[1].item() == 1


@pytest.mark.parametrize('at_once', [1, 10, 77, 200])
def test_large_batches_have_the_same_values_in_chunks(monkeypatch, at_once) -> None:
    online = torch.randn(7, 5, dtype=torch.float64)
    gathered = torch.randn(21, 5, dtype=torch.float64), torch.randn(21, 5, dtype=torch.float64)
    gathered[1][9:12] = online[2:5]  # found
    gathered[1][15] = online[2]  # as similar as an earlier one
    monkeypatch.setattr(monitors, 'get_world_size', lambda: 3)
    monkeypatch.setattr(monitors, 'get_rank', lambda: 1)
    whole = global_monitors(online, gathered[1][7:14], gathered)
    assert whole['pair_accuracy'] >= 3 / 7
    monkeypatch.setattr(monitors, 'AT_ONCE', at_once)
    for name, value in global_monitors(online, gathered[1][7:14], gathered).items():
        torch.testing.assert_close(value, whole[name], rtol=1e-12, atol=0)
