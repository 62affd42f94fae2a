"""Attention over short sequences that reads queries, keys and values where the layer wrote them."""
import importlib.util
import math
from typing import Any

import torch
from mmengine.utils import digit_version
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import flop_counter

from vicmae_mm.utils.errors import InputError

if digit_version(torch.__version__) < digit_version('2.4.0'):
    raise ImportError(f'Packed attention needs torch 2.4 or later, and this is {torch.__version__}:'
                      ' leave PackedAttentionHook out.')

MAX_LENGTH = 256
HEAD_DIMS = (16, 32, 64)
ON_CHIP = 256 * 32  # keys times channels of a head; with more, torch's kernels are faster
_HAS_TRITON = importlib.util.find_spec('triton') is not None


def packed_attention(qkv: Tensor, num_heads: int) -> Tensor:
    """Compute ``softmax(q k^T / sqrt(D)) v`` of every head.

    On an NVIDIA GPU (compute capability >= 8; bf16 or fp16; D of 16 or 32 with N <= 256, or D of
    64 with N <= 128; Triton installed) by kernels of our own, which keep all keys and values of a
    head on chip, need no copies of q, k and v, and write their gradients as one tensor; the
    result and the gradients are the same bits every time. Elsewhere by
    ``F.scaled_dot_product_attention``.

    Args:
        qkv: (B, N, 3 * H * D), what ``nn.Linear(dims, 3 * dims)`` gives: all queries, then all
            keys, then all values of a token, head by head.
        num_heads: H.

    Returns:
        (B, N, H * D), head by head.

    Raises:
        ValueError: If ``qkv`` has another shape.
    """
    if qkv.dim() != 3 or qkv.shape[2] % (3 * num_heads):
        raise InputError(f'qkv has shape {tuple(qkv.shape)} but must be (batch, tokens, '
                         f'3 * {num_heads} heads * channels of a head).')
    if _kernels_fit(qkv, num_heads):
        return _attend(qkv, num_heads)[0]
    q, k, v = qkv.unflatten(2, (3, num_heads, -1)).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def _kernels_fit(qkv: Tensor, num_heads: int) -> bool:
    length, dims = qkv.shape[1], qkv.shape[2] // (3 * num_heads)
    return (_HAS_TRITON and qkv.is_cuda and qkv.dtype in (torch.bfloat16, torch.float16)
            and 0 < length <= MAX_LENGTH and dims in HEAD_DIMS and _padded(length) * dims <= ON_CHIP
            and _is_ampere_or_later(qkv.device.index))


@torch.compiler.assume_constant_result
def _is_ampere_or_later(device: int) -> bool:
    return torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0)


@torch.library.custom_op('vicmae_mm::packed_attention', mutates_args=(),
                         schema='(Tensor qkv, int num_heads) -> (Tensor, Tensor)')
def _attend(qkv: Tensor, num_heads: int) -> tuple[Tensor, Tensor]:
    """Return the output, and the logarithm of the softmax's sum (B, H, N) to the base of 2."""
    from .packed_attention_kernels import forward_kernel  # Triton is optional

    qkv = qkv.contiguous()
    out, lse = _empty_outputs(qkv, num_heads)
    batch, length, _ = qkv.shape
    dims = out.shape[2] // num_heads
    with torch.cuda.device_of(qkv):
        forward_kernel[(batch * num_heads, )](
            qkv, out, lse, length, num_heads, dims**-0.5 * math.log2(math.e), HEAD_DIM=dims,
            COLUMNS=_padded(length), **_forward_config(length))
    return out, lse


@torch.library.custom_op('vicmae_mm::packed_attention_backward', mutates_args=(),
                         schema='(Tensor grad, Tensor qkv, Tensor out, Tensor lse, int num_heads)'
                         ' -> Tensor')
def _attend_backward(grad: Tensor, qkv: Tensor, out: Tensor, lse: Tensor,
                     num_heads: int) -> Tensor:
    from .packed_attention_kernels import backward_kernel

    qkv = qkv.contiguous()
    grad_qkv = torch.empty_like(qkv)
    batch, length, _ = qkv.shape
    dims = out.shape[2] // num_heads
    with torch.cuda.device_of(qkv):
        backward_kernel[(batch * num_heads, )](
            qkv, out.contiguous(), lse.contiguous(), grad.contiguous(), grad_qkv, length,
            num_heads, dims**-0.5 * math.log2(math.e), dims**-0.5, HEAD_DIM=dims,
            COLUMNS=_padded(length), **_backward_config(length))
    return grad_qkv


def _padded(length: int) -> int:
    """Round up to what a tile can have: a power of 2, 16 or more."""
    return max(16, 1 << (length - 1).bit_length())


# The fastest of some forty configurations on an H200, for the shapes of ViC-MAE ViT-B/16.
def _forward_config(length: int) -> dict[str, int]:
    return dict(ROWS=min(64, _padded(length)), num_warps=4, num_stages=2)


def _backward_config(length: int) -> dict[str, int]:
    if length > 128:
        return dict(ROWS=64, num_warps=8, num_stages=1)
    return dict(ROWS=min(32, _padded(length)), num_warps=4, num_stages=1)


@_attend.register_fake
def _empty_outputs(qkv: Tensor, num_heads: int) -> tuple[Tensor, Tensor]:
    batch, length, width = qkv.shape
    return (qkv.new_empty(batch, length, width // 3),
            qkv.new_empty(batch, num_heads, length, dtype=torch.float32))


@_attend_backward.register_fake
def _empty_gradient(grad: Tensor, qkv: Tensor, out: Tensor, lse: Tensor,
                    num_heads: int) -> Tensor:
    return torch.empty_like(qkv, memory_format=torch.contiguous_format)


def _keep_for_backward(ctx: Any, inputs: tuple[Tensor, int], output: tuple[Tensor, Tensor]) -> None:
    qkv, ctx.num_heads = inputs
    ctx.save_for_backward(qkv, *output)
    ctx.set_materialize_grads(False)  # lse has no gradient


def _differentiate(ctx: Any, grad: Tensor, grad_lse: None) -> tuple[Tensor, None]:
    return _attend_backward(grad, *ctx.saved_tensors, ctx.num_heads), None


_attend.register_autograd(_differentiate, setup_context=_keep_for_backward)


@flop_counter.register_flop_formula(torch.ops.vicmae_mm.packed_attention)
def _flops(qkv: torch.Size, num_heads: int, **kwargs: Any) -> int:
    batch, length, width = qkv
    return 4 * batch * length**2 * (width // 3)  # two products


@flop_counter.register_flop_formula(torch.ops.vicmae_mm.packed_attention_backward)
def _backward_flops(grad: torch.Size, qkv: torch.Size, out: torch.Size, lse: torch.Size,
                    num_heads: int, **kwargs: Any) -> int:
    return 2 * _flops(qkv, num_heads)  # four; that of q and k, done again, is no useful work


class PackedAttention(MultiheadAttention):
    """mmpretrain's ``MultiheadAttention`` on :func:`packed_attention`.

    Worth it in training on a recent GPU where a sequence is short: the 50 tokens of a masked
    encoder, the 197 of its decoder with heads of 32 channels, for which the kernels of torch are
    not made. Without gradients, or for longer sequences, there is little to gain. Arguments,
    shapes and state dict are those of the base class.

    Raises:
        ValueError: If ``attn_drop``, ``v_shortcut`` or ``qk_scale`` is set: the kernels know none.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if unsupported := _unsupported(self):
            raise InputError(f'PackedAttention has no {unsupported}: leave it out, or use '
                             'mmpretrain\'s MultiheadAttention.')

    def forward(self, x: Tensor) -> Tensor:
        """Attend; (B, N, input_dims) in, (B, N, embed_dims) out."""
        x = self.proj(packed_attention(self.qkv(x), self.num_heads))
        return self.out_drop(self.gamma1(self.proj_drop(x)))


def use_packed_attention(model: nn.Module) -> int:
    """Turn the ``MultiheadAttention`` modules of a model into :class:`PackedAttention`, in place.

    The modules stay the objects they are, with their parameters, hooks and names. Those that use
    what :class:`PackedAttention` has not, and those of subclasses, are left alone.

    Args:
        model: Built, on any device, before or after ``torch.compile`` is set up for it but not
            after its first compiled call.

    Returns:
        How many modules are of that class now.
    """
    for module in model.modules():
        if type(module) is MultiheadAttention and not _unsupported(module):
            module.__class__ = PackedAttention
    return sum(isinstance(module, PackedAttention) for module in model.modules())


def _unsupported(attention: MultiheadAttention) -> str | None:
    if attention.attn_drop:
        return 'attn_drop'
    if attention.v_shortcut:
        return 'v_shortcut'
    # set, it replaces the function
    if attention.scaled_dot_product_attention is not F.scaled_dot_product_attention:
        return 'qk_scale'
    return None
