"""The precision in which losses and statistics are computed."""
import torch
from torch import Tensor


def at_least_fp32(x: Tensor) -> Tensor:
    """Return ``x`` as fp32 if it has half precision, unchanged otherwise."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
