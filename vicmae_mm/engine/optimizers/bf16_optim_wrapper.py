"""Automatic mixed precision in bfloat16, with a fallback to float32."""
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import nn

from vicmae_mm.registry import OPTIM_WRAPPERS


def has_bf16(device: torch.device) -> bool:
    """Whether a device is a GPU with native bfloat16."""
    return device.type == 'cuda' and torch.cuda.get_device_capability(device) >= (8, 0)


@OPTIM_WRAPPERS.register_module()
class BF16OptimWrapper(OptimWrapper):
    """Run the forward pass in bfloat16 if the GPU has it natively, else in float32.

    bfloat16 has the range of float32, so no loss scaling is needed. On a GPU without it,
    mmengine's ``AmpOptimWrapper`` offers float16.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter autocast around the forward pass."""
        if not hasattr(self, '_enabled'):
            device = next(model.parameters()).device
            self._enabled = has_bf16(device)
            if not self._enabled:
                print_log(f'No native bfloat16 on {device}: training in float32.', logger='current')
        with super().optim_context(model), torch.autocast(
                'cuda', dtype=torch.bfloat16, enabled=self._enabled):
            yield
