"""Pooling against sums over single tokens."""
import pytest
import torch
from torch import Tensor

from vicmae_mm.models.necks import TokenPooling


def tokens(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 1 + 5, 3, dtype=dtype)


def by_loops(x: Tensor, mode: str) -> Tensor:
    pooled = []
    for frame in x:
        for channel in frame.T.tolist():
            cls, *patches = channel
            clamped = [max(v, 1e-6)**3 for v in patches]
            pooled.append(dict(
                cls=cls, mean=sum(patches) / 5, max=max(patches),
                gem=(sum(clamped) / 5)**(1 / 3))[mode])
    return torch.tensor(pooled, dtype=x.dtype).view(len(x), -1)


@pytest.mark.parametrize('mode', ['mean', 'max', 'gem', 'cls'])
def test_equals_the_definition(mode: str) -> None:
    x = tokens()
    torch.testing.assert_close(TokenPooling(mode).double()(x), by_loops(x, mode))


@pytest.mark.parametrize('mode', ['mean', 'max', 'gem', 'cls'])
def test_reads_patches_or_class_token_only(mode: str) -> None:
    x = tokens().requires_grad_()
    TokenPooling(mode).double()(x).sum().backward()
    assert bool(x.grad[:, 0].any()) == (mode == 'cls')
    assert bool(x.grad[:, 1:].any()) == (mode != 'cls')


def test_gem_is_between_mean_and_maximum() -> None:
    x = tokens().abs()
    mean, maximum = TokenPooling('mean')(x), TokenPooling('max')(x)
    torch.testing.assert_close(TokenPooling('gem', p=1.).double()(x), mean)
    torch.testing.assert_close(
        TokenPooling('gem', p=300.).double()(x), maximum, rtol=0.01, atol=0)
    assert ((mean < TokenPooling('gem')(x)) & (TokenPooling('gem')(x) < maximum)).all()


def test_gem_learns_one_number_above_one() -> None:
    pooling = TokenPooling('gem')
    assert {k: tuple(v.shape) for k, v in pooling.state_dict().items()} == {'p': (1, )}
    assert pooling.p.item() == 3 and pooling.p.requires_grad
    assert not TokenPooling('gem', p_trainable=False).p.requires_grad
    x = tokens(torch.float32).abs()
    pooling.p.data.fill_(0.2)
    torch.testing.assert_close(pooling(x), TokenPooling('mean')(x))


def test_other_modes_have_no_parameters() -> None:
    for mode in ('mean', 'max', 'cls'):
        assert not TokenPooling(mode).state_dict()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_gem_has_finite_gradients_where_a_channel_is_negative(dtype: torch.dtype) -> None:
    """eps^3 is zero in fp16 (row 15)."""
    x = tokens(dtype)
    x[:, :, 0] = -1
    x.requires_grad_()
    pooling = TokenPooling('gem')
    with torch.autocast('cpu', dtype=torch.bfloat16):
        pooled = pooling(x)
    pooled.sum().backward()
    assert pooled.dtype == torch.float32
    assert pooled[:, 0].tolist() == pytest.approx([1e-6] * 2, rel=1e-3)
    assert x.grad.isfinite().all() and not x.grad[:, :, 0].any()
    assert pooling.p.grad.isfinite().all() and pooling.p.grad.any()


def test_gradient() -> None:
    x = tokens().requires_grad_()
    for mode in ('mean', 'gem'):
        assert torch.autograd.gradcheck(TokenPooling(mode).double(), (x, ))


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"\('mean', 'max', 'gem', 'cls'\), got 'median'"):
        TokenPooling('median')
    with pytest.raises(ValueError, match='at least 1, got'):
        TokenPooling('gem', p=0.5)
    for shape in ((2, 6), (2, 1, 6), (2, 6, 7, 7)):
        with pytest.raises(ValueError, match=r'\(batch, 1 \+ patches, channels\)'):
            TokenPooling()(torch.ones(shape))


@pytest.mark.parametrize('mode', ['mean', 'max', 'gem', 'cls'])
def test_tuples_in_tuples_out(mode: str) -> None:
    pooling, stages = TokenPooling(mode).double(), (tokens(), tokens())
    for given in (stages, list(stages)):
        pooled = pooling(given)
        assert isinstance(pooled, tuple) and len(pooled) == 2
        assert all(torch.equal(a, pooling(b)) for a, b in zip(pooled, stages, strict=True))


@pytest.mark.parametrize('extra', [0, 2, 5])
def test_other_tokens_than_patches_are_left_out(extra: int) -> None:
    x = torch.randn(2, extra + 4, 3)
    for mode, wanted in (('mean', x[:, extra:].mean(1)), ('max', x[:, extra:].amax(1))):
        torch.testing.assert_close(TokenPooling(mode, num_extra_tokens=extra)(x), wanted)


def test_a_class_token_needs_one() -> None:
    with pytest.raises(ValueError, match='num_extra_tokens=0 must be'):
        TokenPooling('cls', num_extra_tokens=0)
    with pytest.raises(ValueError, match='num_extra_tokens=-1 must be'):
        TokenPooling(num_extra_tokens=-1)
    with pytest.raises(ValueError, match=r'2 \+ patches'):
        TokenPooling(num_extra_tokens=2)(torch.ones(2, 2, 3))
