"""Triton kernels for attention over sequences short enough that all keys fit on chip.

One program handles one head of one sequence. It sees all keys at once, so the softmax needs no
running rescaling, and it sums every gradient itself: no atomics, hence deterministic. Tensors are
contiguous: ``qkv`` and its gradient (B, N, 3 * H * D), ``out`` and its gradient (B, N, H * D),
``lse`` (B, H, N) fp32. Triton comes with torch's CUDA builds, and compiles them when first used.
"""
import triton
import triton.language as tl


@triton.jit
def forward_kernel(qkv: tl.tensor, out: tl.tensor, lse: tl.tensor, length: tl.tensor,
                   num_heads: tl.tensor, scale: tl.tensor, HEAD_DIM: tl.constexpr,
                   ROWS: tl.constexpr, COLUMNS: tl.constexpr) -> None:
    """Attend for all queries of one head of one sequence, ``ROWS`` at a time.

    Grid: (B * H, ). ``COLUMNS`` >= length. ``scale`` is that of the scores times log2(e).
    """
    head = tl.program_id(0)
    sequence = (head // num_heads).to(tl.int64)  # offsets can exceed 32 bits from here on
    width = num_heads * HEAD_DIM
    channels = (head % num_heads) * HEAD_DIM + tl.arange(0, HEAD_DIM)[None, :]
    qkv += sequence * length * 3 * width
    out += sequence * length * width
    lse += head.to(tl.int64) * length

    # Keys and values are loaded once, straight from the rows that the qkv layer wrote.
    columns = tl.arange(0, COLUMNS)
    keys = qkv + columns[:, None] * (3 * width) + width + channels
    k = tl.load(keys, mask=columns[:, None] < length, other=0.)
    v = tl.load(keys + width, mask=columns[:, None] < length, other=0.)
    for start in range(0, length, ROWS):
        rows = start + tl.arange(0, ROWS)
        valid = rows[:, None] < length
        q = tl.load(qkv + rows[:, None] * (3 * width) + channels, mask=valid, other=0.)
        # 'ieee' keeps fp32 inputs from being rounded to TF32; it has no effect on bf16 and fp16.
        # log2(e) in scale lets exp2, the hardware's exponential, replace exp.
        s = tl.dot(q, tl.trans(k), input_precision='ieee') * scale
        # A padded key has a score of 0, which would dominate where all true scores are negative.
        s = tl.where(columns[None, :] < length, s, float('-inf'))
        largest = tl.max(s, 1)
        p = tl.math.exp2(s - largest[:, None])
        total = tl.sum(p, 1)
        # Dividing the output takes fewer operations than dividing p.
        o = tl.dot(p.to(v.dtype), v, input_precision='ieee') / total[:, None]
        tl.store(out + rows[:, None] * width + channels, o.to(out.dtype.element_ty), mask=valid)
        tl.store(lse + rows, largest + tl.math.log2(total), mask=rows < length)


@triton.jit
def backward_kernel(qkv: tl.tensor, out: tl.tensor, lse: tl.tensor, grad_out: tl.tensor,
                    grad_qkv: tl.tensor, length: tl.tensor, num_heads: tl.tensor,
                    scale: tl.tensor, score_scale: tl.tensor, HEAD_DIM: tl.constexpr,
                    ROWS: tl.constexpr, COLUMNS: tl.constexpr) -> None:
    """Compute the three gradients of one head of one sequence, ``ROWS`` queries at a time.

    Grid: (B * H, ). ``scale`` as in the forward pass, ``score_scale`` without log2(e).
    """
    head = tl.program_id(0)
    sequence = (head // num_heads).to(tl.int64)  # offsets can exceed 32 bits from here on
    width = num_heads * HEAD_DIM
    channels = (head % num_heads) * HEAD_DIM + tl.arange(0, HEAD_DIM)[None, :]
    qkv += sequence * length * 3 * width
    grad_qkv += sequence * length * 3 * width
    out += sequence * length * width
    grad_out += sequence * length * width
    lse += head.to(tl.int64) * length

    columns = tl.arange(0, COLUMNS)
    is_key = columns[:, None] < length
    key_offsets = columns[:, None] * (3 * width) + width + channels
    k = tl.load(qkv + key_offsets, mask=is_key, other=0.)
    v = tl.load(qkv + key_offsets + width, mask=is_key, other=0.)
    dk = tl.zeros((COLUMNS, HEAD_DIM), tl.float32)
    dv = tl.zeros((COLUMNS, HEAD_DIM), tl.float32)
    for start in range(0, length, ROWS):
        rows = start + tl.arange(0, ROWS)
        valid = rows[:, None] < length
        query_offsets = rows[:, None] * (3 * width) + channels
        out_offsets = rows[:, None] * width + channels
        q = tl.load(qkv + query_offsets, mask=valid, other=0.)
        do = tl.load(grad_out + out_offsets, mask=valid, other=0.)
        o = tl.load(out + out_offsets, mask=valid, other=0.)
        # The row sums of P * dP, without P: they equal those of O * dO.
        delta = tl.sum(do.to(tl.float32) * o.to(tl.float32), 1)
        row_lse = tl.load(lse + rows, mask=rows < length, other=0.)
        # P is recomputed from lse. Scores are transposed, keys by queries: P and dS are then laid
        # out as the products for dV and dK need them, and only dQ needs a transposition through
        # shared memory. Rows beyond the last need no mask: their q, do and delta are 0.
        p = tl.math.exp2(tl.dot(k, tl.trans(q), input_precision='ieee') * scale
                         - row_lse[None, :])
        p = tl.where(is_key, p, 0.)  # padded keys need one: exp2(0 - lse) may be infinite
        dv += tl.dot(p.to(do.dtype), do, input_precision='ieee')
        dp = tl.dot(v, tl.trans(do), input_precision='ieee')
        ds = (p * (dp - delta[None, :])).to(q.dtype)
        dk += tl.dot(ds, q, input_precision='ieee')
        dq = tl.dot(tl.trans(ds), k, input_precision='ieee') * score_scale
        tl.store(grad_qkv + query_offsets, dq.to(grad_qkv.dtype.element_ty), mask=valid)
    tl.store(grad_qkv + key_offsets, (dk * score_scale).to(grad_qkv.dtype.element_ty), mask=is_key)
    tl.store(grad_qkv + key_offsets + width, dv.to(grad_qkv.dtype.element_ty), mask=is_key)
