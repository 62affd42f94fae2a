"""Attention on packed queries, keys and values: the kernels, the op around them, the module.

Without a GPU the kernels run in Triton's interpreter, which has to be chosen before Triton is
imported: in a process of its own.
"""
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

pytest.importorskip('torch', minversion='2.4')
from torch.nn.attention import SDPBackend, sdpa_kernel

from vicmae_mm.models.layers import packed_attention as module
from vicmae_mm.models.layers.packed_attention import (
    PackedAttention,
    packed_attention,
    use_packed_attention,
)

HEADS = 3
Attention = Callable[[Tensor, int], Tensor]


@pytest.fixture(scope='module')
def interpreter() -> Iterator[ProcessPoolExecutor]:
    """A process that runs Triton kernels in the interpreter."""
    pytest.importorskip('triton')
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv('TRITON_INTERPRET', '1')
            pool.submit(int).result()  # starts the process
        yield pool


def by_kernels(qkv: Tensor, num_heads: int) -> Tensor:
    return module._attend(qkv, num_heads)[0]


def by_torch(qkv: Tensor, num_heads: int) -> Tensor:
    q, k, v = qkv.unflatten(2, (3, num_heads, -1)).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def values_and_gradients(attention: Attention, qkv: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    qkv = qkv.detach().requires_grad_()
    out = attention(qkv, HEADS)
    return out.detach(), *torch.autograd.grad(out, qkv, grad)


def errors(attention: Attention, qkv: Tensor, grad: Tensor) -> tuple[float, float]:
    """Relative errors (L2) of the output and of the gradient; NaN if any value is."""
    got = values_and_gradients(attention, qkv, grad)
    want = values_and_gradients(by_torch, qkv.double(), grad.double())
    return tuple(((a.double() - b).norm() / b.norm()).item() for a, b in zip(got, want,
                                                                              strict=True))


def random_inputs(length: int, dims: int, **kwargs) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)  # a process of its own has no fixtures
    qkv = 1.5 * torch.randn(3, length, 3 * HEADS * dims, **kwargs)
    return qkv, torch.randn(3, length, HEADS * dims, **kwargs)


def interpreted_errors(attention: Attention, length: int, dims: int,
                       dtype: torch.dtype) -> tuple[float, float]:
    return errors(attention, *random_inputs(length, dims, dtype=dtype))


@pytest.mark.parametrize(('length', 'dims'), [(1, 16), (5, 32), (50, 64), (64, 16), (99, 64),
                                              (197, 32), (256, 16)])
def test_kernels_compute_attention(interpreter: ProcessPoolExecutor, length: int,
                                   dims: int) -> None:
    job = interpreter.submit(interpreted_errors, by_kernels, length, dims, torch.float32)
    assert max(job.result()) < 2e-6  # several roundings of 6e-8 (fp32) add up


def test_half_precision_is_as_accurate_as_torch(interpreter: ProcessPoolExecutor) -> None:
    ours, theirs = (interpreter.submit(interpreted_errors, attention, 99, 32, torch.float16)
                    for attention in (by_kernels, by_torch))
    assert all(a < 1.5 * b for a, b in zip(ours.result(), theirs.result(), strict=True))


def errors_of_extreme_scores() -> list[tuple[float, float]]:
    """Scores of about +800 and -800, where a padded key with a score of 0 would matter."""
    found = []
    for sign in (1, -1):
        qkv, grad = random_inputs(5, 16)
        qkv[..., :HEADS * 16] = 14 + qkv[..., :HEADS * 16]
        qkv[..., HEADS * 16:2 * HEADS * 16] = sign * (14 + qkv[..., HEADS * 16:2 * HEADS * 16])
        found.append(errors(by_kernels, qkv, grad))
    return found


def test_extreme_scores(interpreter: ProcessPoolExecutor) -> None:
    found = interpreter.submit(errors_of_extreme_scores).result()
    # fp32 holds a score of 800 to 3e-5, which is the relative error of a weight
    assert all(error < 1e-3 for pair in found for error in pair)


def check_registration() -> None:
    qkv, grad = random_inputs(5, 16)
    torch.library.opcheck(module._attend, (qkv.requires_grad_(), HEADS))
    compiled = torch.compile(by_kernels, fullgraph=True, backend='aot_eager')
    expanded = torch.ones(()).expand_as(grad)  # what the backward pass of a sum brings
    for a, b in zip(values_and_gradients(compiled, qkv, expanded),
                    values_and_gradients(by_kernels, qkv, expanded), strict=True):
        assert a.equal(b)


def test_op_is_traced_without_a_graph_break(interpreter: ProcessPoolExecutor) -> None:
    interpreter.submit(check_registration).result()


def count_flops(attention: Attention) -> int:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        values_and_gradients(attention, *random_inputs(5, 16))
    return counter.get_total_flops()


def test_flops_are_counted(interpreter: ProcessPoolExecutor) -> None:
    assert interpreter.submit(count_flops, by_kernels).result() == count_flops(by_torch)


def test_without_a_gpu_torch_computes_it() -> None:
    qkv, _ = random_inputs(300, 20)
    assert packed_attention(qkv, HEADS).equal(by_torch(qkv, HEADS))


@pytest.mark.parametrize('shape', [(2, 5, 3 * HEADS * 16 + 1), (5, 3 * HEADS * 16)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='must be \\(batch, tokens, 3 \\* 3 heads'):
        packed_attention(torch.zeros(shape), HEADS)


def test_modules_of_a_model_are_converted() -> None:
    class Other(MultiheadAttention):
        """A forward of its own."""

    fitting = MultiheadAttention(48, HEADS, layer_scale_init_value=.5, proj_drop=.5)
    model = nn.ModuleList([fitting, Other(48, HEADS), MultiheadAttention(48, HEADS, attn_drop=.1),
                           MultiheadAttention(48, HEADS, v_shortcut=True),
                           MultiheadAttention(48, HEADS, qk_scale=1.)]).eval()
    x, weights = torch.randn(2, 5, 48), model.state_dict()
    want = fitting(x)
    assert use_packed_attention(model) == 1
    assert [type(m) is PackedAttention for m in model] == [True] + 4 * [False]
    torch.testing.assert_close(fitting(x), want)
    assert all(weights[name] is tensor or weights[name].equal(tensor)
               for name, tensor in model.state_dict().items())
    PackedAttention(48, HEADS, layer_scale_init_value=.5).load_state_dict(fitting.state_dict())


@pytest.mark.parametrize('option', [dict(attn_drop=.1), dict(v_shortcut=True), dict(qk_scale=1.)])
def test_unsupported_options_are_refused(option: dict) -> None:
    with pytest.raises(ValueError, match=f'has no {next(iter(option))}'):
        PackedAttention(48, HEADS, **option)


@pytest.mark.parametrize(('length', 'dims', 'dtype', 'fit'), [
    (1, 16, torch.bfloat16, True), (256, 32, torch.float16, True), (257, 16, torch.bfloat16, False),
    (128, 64, torch.bfloat16, True), (129, 64, torch.bfloat16, False),
    (50, 64, torch.float32, False), (50, 24, torch.bfloat16, False),
    (50, 128, torch.bfloat16, False), (0, 64, torch.bfloat16, False)])
def test_which_inputs_the_kernels_take(monkeypatch: pytest.MonkeyPatch, length: int, dims: int,
                                       dtype: torch.dtype, fit: bool) -> None:
    monkeypatch.setattr(module, '_HAS_TRITON', True)
    monkeypatch.setattr(module, '_is_ampere_or_later', lambda device: True)
    with FakeTensorMode():
        qkv = torch.empty(2, length, 3 * HEADS * dims, device='cuda', dtype=dtype)
    assert module._kernels_fit(qkv, HEADS) == fit


@pytest.mark.gpu
@pytest.mark.parametrize('compiled', [False, True])
@pytest.mark.parametrize(('length', 'dims'), [(1, 16), (50, 64), (99, 64), (128, 64), (197, 32),
                                              (256, 32)])
def test_on_a_gpu(length: int, dims: int, compiled: bool) -> None:
    qkv, grad = random_inputs(length, dims, device='cuda', dtype=torch.bfloat16)
    assert module._kernels_fit(qkv, HEADS)
    attention = torch.compile(packed_attention, fullgraph=True) if compiled else packed_attention
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
        theirs = errors(by_torch, qkv, grad)
    ours = errors(attention, qkv, grad)
    assert all(a <= 1.5 * b + 1e-6 for a, b in zip(ours, theirs, strict=True))
