"""The fastest that a device multiplies matrices: what a training step is measured against."""
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from vicmae_mm.engine.optimizers.bf16_optim_wrapper import has_bf16

from .step_timing import time_in_turns

SIZES = {'cuda': (4096, 8192, 16384), 'cpu': (512, 1024, 2048)}


@dataclass(frozen=True)
class Peak:
    """The best of several square products.

    Args:
        flops: Floating-point operations a second; a multiplication with an addition is two.
        size: Side of the matrices.
        dtype: Of their elements.
    """

    flops: float
    size: int
    dtype: torch.dtype

    def __str__(self) -> str:
        return (f'{self.flops / 1e12:.4g} TFLOP/s ({self.size} x {self.size} x {self.size}, '
                f'{str(self.dtype).removeprefix("torch.")})')


def measure_peak(device: torch.device, rounds: int = 10, clock: str = 'wall') -> Peak:
    """Multiply large random matrices, bfloat16 on a GPU that computes in it, else float32.

    Args:
        device: Where.
        rounds: How often each size is measured; the median counts.
        clock: For a CPU, as in :func:`benchmarks.measuring.interleave`.
    """
    dtype = torch.bfloat16 if has_bf16(device) else torch.float32
    peaks = []
    for size in SIZES[device.type]:
        # random: a GPU draws less power on zeros, and clocks higher
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        seconds = time_in_turns(dict(product=partial(torch.matmul, a, b)), rounds, device, clock)
        peaks.append(Peak(2 * size**3 / float(np.median(seconds['product'])), size, dtype))
    return max(peaks, key=lambda peak: peak.flops)
