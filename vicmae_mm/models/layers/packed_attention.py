"""Attention for short sequences that works directly on the packed output of the qkv layer.

torch's kernels are made for longer sequences and wider heads: 197 tokens in heads of 32 channels
fill cuDNN's tiles badly, and gradients of q, k, v are joined by a copy (docs/performance.md).
"""
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

# torch.library.custom_op is new in 2.4.
if digit_version(torch.__version__) < digit_version('2.4.0'):
    raise ImportError(f'Packed attention needs torch 2.4 or later, but this is torch '
                      f'{torch.__version__}: remove PackedAttentionHook from the config.')

# Limits of the kernels, which hold all keys and values of a head on chip. Above ON_CHIP keys times
# channels torch's kernels are faster (at 197 tokens of 64 channels, on an H200).
MAX_LENGTH = 256
HEAD_DIMS = (16, 32, 64)
ON_CHIP = 256 * 32
_HAS_TRITON = importlib.util.find_spec('triton') is not None


def packed_attention(qkv: Tensor, num_heads: int) -> Tensor:
    """Compute ``softmax(q k^T / sqrt(D)) v`` for every head.

    Uses Triton kernels on an NVIDIA GPU (compute capability >= 8; bf16 or fp16; D of 16 or 32
    with N <= 256, or D of 64 with N <= 128; Triton installed). They need no copies of q, k and v,
    write their gradients as one tensor, and are deterministic. Everything else is computed by
    ``F.scaled_dot_product_attention``.

    Of the output (B, N, 3 * H * D) of ``nn.Linear(dims, 3 * dims)``, per token all queries, then
    all keys, then all values, head by head, it is (B, N, H * D). Other shapes raise a ValueError.
    """
    if qkv.dim() != 3 or qkv.shape[2] % (3 * num_heads):
        raise InputError(f'qkv has shape {tuple(qkv.shape)} but must be (batch, tokens, '
                         f'3 * {num_heads} heads * channels per head).')
    if _kernels_fit(qkv, num_heads):
        return _attend(qkv, num_heads)[0]
    q, k, v = qkv.unflatten(2, (3, num_heads, -1)).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def _kernels_fit(qkv: Tensor, num_heads: int) -> bool:
    length, dims = qkv.shape[1], qkv.shape[2] // (3 * num_heads)
    return (_HAS_TRITON and qkv.is_cuda and qkv.dtype in (torch.bfloat16, torch.float16)
            and 0 < length <= MAX_LENGTH and dims in HEAD_DIMS and _padded(length) * dims <= ON_CHIP
            and _is_ampere_or_later(qkv.device.index))


# A property of the machine: torch.compile may evaluate it once while tracing.
@torch.compiler.assume_constant_result
def _is_ampere_or_later(device: int) -> bool:
    return torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0)


# A custom op with a fake version and a gradient: torch.compile traces it without a graph break.
# ROWS, warps and stages are the fastest of about forty settings on an H200, for ViC-MAE ViT-B/16.
@torch.library.custom_op('vicmae_mm::packed_attention', mutates_args=(),
                         schema='(Tensor qkv, int num_heads) -> (Tensor, Tensor)')
def _attend(qkv: Tensor, num_heads: int) -> tuple[Tensor, Tensor]:
    """Return the output and the base-2 logarithm of the softmax's denominator (B, H, N)."""
    from .packed_attention_kernels import forward_kernel  # here, because Triton is optional

    qkv = qkv.contiguous()
    out, lse = _empty_outputs(qkv, num_heads)
    batch, length, _ = qkv.shape
    dims = out.shape[2] // num_heads
    # Triton launches on the current device, which need not be that of the tensor.
    with torch.cuda.device_of(qkv):
        forward_kernel[(batch * num_heads, )](
            qkv, out, lse, length, num_heads, dims**-0.5 * math.log2(math.e), HEAD_DIM=dims,
            COLUMNS=_padded(length), ROWS=min(64, _padded(length)), num_warps=4, num_stages=2)
    return out, lse


@torch.library.custom_op('vicmae_mm::packed_attention_backward', mutates_args=(),
                         schema='(Tensor grad, Tensor qkv, Tensor out, Tensor lse, int num_heads)'
                         ' -> Tensor')
def _attend_backward(grad: Tensor, qkv: Tensor, out: Tensor, lse: Tensor,
                     num_heads: int) -> Tensor:
    from .packed_attention_kernels import backward_kernel

    # The kernels expect contiguous tensors, but a gradient may be an expanded scalar.
    qkv = qkv.contiguous()
    grad_qkv = torch.empty_like(qkv)
    batch, length, _ = qkv.shape
    dims = out.shape[2] // num_heads
    rows, warps = (64, 8) if length > 128 else (min(32, _padded(length)), 4)
    with torch.cuda.device_of(qkv):
        backward_kernel[(batch * num_heads, )](
            qkv, out.contiguous(), lse.contiguous(), grad.contiguous(), grad_qkv, length,
            num_heads, dims**-0.5 * math.log2(math.e), dims**-0.5, HEAD_DIM=dims,
            COLUMNS=_padded(length), ROWS=rows, num_warps=warps, num_stages=1)
    return grad_qkv


def _padded(length: int) -> int:
    """Round up to a size that a tile may have: a power of 2 of at least 16."""
    return max(16, 1 << (length - 1).bit_length())


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
    # lse instead of the probabilities, which are N / D times the size of the output.
    ctx.save_for_backward(qkv, *output)
    ctx.set_materialize_grads(False)  # lse gets none, instead of a tensor of zeros


def _differentiate(ctx: Any, grad: Tensor, grad_lse: None) -> tuple[Tensor, None]:
    return _attend_backward(grad, *ctx.saved_tensors, ctx.num_heads), None


_attend.register_autograd(_differentiate, setup_context=_keep_for_backward)


@flop_counter.register_flop_formula(torch.ops.vicmae_mm.packed_attention)
def _flops(qkv: torch.Size, num_heads: int, **kwargs: Any) -> int:
    batch, length, width = qkv
    return 4 * batch * length**2 * (width // 3)  # two matrix products


@flop_counter.register_flop_formula(torch.ops.vicmae_mm.packed_attention_backward)
def _backward_flops(grad: torch.Size, qkv: torch.Size, out: torch.Size, lse: torch.Size,
                    num_heads: int, **kwargs: Any) -> int:
    # Four products; the recomputation of q k^T is not useful work and not counted.
    return 2 * _flops(qkv, num_heads)


class PackedAttention(MultiheadAttention):
    """mmpretrain's ``MultiheadAttention`` on :func:`packed_attention`.

    Faster in training on a recent GPU with short sequences, for which torch's kernels are not
    made: the 50 tokens of a masked encoder, the 197 of its decoder with heads of 32 channels.
    Without gradients, or for longer sequences, there is little to gain. Arguments, shapes and
    state dict are those of the base class; ``attn_drop``, ``v_shortcut`` and ``qk_scale`` raise a
    ValueError.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if unsupported := _unsupported(self):
            raise InputError(f'PackedAttention has no {unsupported}: remove it, or use '
                             "mmpretrain's MultiheadAttention.")

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, input_dims) to (B, N, embed_dims)."""
        x = self.proj(packed_attention(self.qkv(x), self.num_heads))
        return self.out_drop(self.gamma1(self.proj_drop(x)))


def use_packed_attention(model: nn.Module) -> int:
    """Convert the ``MultiheadAttention`` modules of a model to :class:`PackedAttention`, in place.

    Modules with an option that :class:`PackedAttention` lacks, and subclasses, are not converted.
    A compiled model must not have been called yet. Returned is how many it has then.
    """
    # Changing the class keeps parameters, hooks and names, and references to the modules.
    for module in model.modules():
        if type(module) is MultiheadAttention and not _unsupported(module):
            module.__class__ = PackedAttention
    return sum(isinstance(module, PackedAttention) for module in model.modules())


def _unsupported(attention: MultiheadAttention) -> str | None:
    if attention.attn_drop:
        return 'attn_drop'
    if attention.v_shortcut:
        return 'v_shortcut'
    # The base class does not store qk_scale; it replaces this function if qk_scale is set.
    if attention.scaled_dot_product_attention is not F.scaled_dot_product_attention:
        return 'qk_scale'
    return None
