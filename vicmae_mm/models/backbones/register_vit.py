"""Register tokens, which public Vision Transformers may have."""
from typing import Any

import torch
from mmpretrain.models import VisionTransformer
from torch import Tensor, nn

from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError


@MODELS.register_module()
class RegisterViT(VisionTransformer):
    """mmpretrain's ``VisionTransformer`` with register tokens (Darcet et al., 2024).

    ``num_registers`` tokens (an integer of 0 or more, else a ValueError) without a position stand
    behind the class token in all layers, and in no output. Other arguments are mmpretrain's:
    ``layer_scale_init_value`` for DINOv2, ``pre_norm`` and ``layer_cfgs`` for CLIP, ...
    """

    def __init__(self, *args: Any, num_registers: int = 0, **kwargs: Any) -> None:
        if type(num_registers) is not int or num_registers < 0:
            raise InputError(f'num_registers={num_registers!r} must be an integer of 0 or more.')
        super().__init__(*args, **kwargs)
        self.num_registers = num_registers
        if num_registers:
            # Not zeros: equal registers would stay equal.
            self.register_tokens = nn.Parameter(
                nn.init.trunc_normal_(torch.empty(1, num_registers, self.embed_dims), std=0.02),
                requires_grad=self.frozen_stages <= 0)
            # mmpretrain's forward has no other place between positions and this norm.
            self.pre_norm.register_forward_pre_hook(self._insert_registers)

    def _insert_registers(self, module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        tokens, extra = inputs[0], self.num_extra_tokens
        registers = self.register_tokens.expand(len(tokens), -1, -1)
        return torch.cat((tokens[:, :extra], registers, tokens[:, extra:]), dim=1)

    def without_registers(self, tokens: Tensor) -> Tensor:
        """Remove the registers from tokens (B, [1 +] R + L, C)."""
        extra, end = self.num_extra_tokens, self.num_extra_tokens + self.num_registers
        return torch.cat((tokens[:, :extra], tokens[:, end:]), dim=1) if end > extra else tokens

    def _format_output(self, x: Tensor, hw: Any) -> Tensor:
        return super()._format_output(self.without_registers(x), hw)

    def train(self, mode: bool = True) -> 'RegisterViT':
        """Set the mode and return the module, which mmpretrain's backbones do not."""
        super().train(mode)
        return self

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter for layer-wise decay, with mmpretrain's and our stem at 0."""
        ours = 'register_tokens', 'pre_norm', 'temporal_embed'
        if param_name.startswith(tuple(prefix + name for name in ours)):
            return 0, self.num_layers + 2
        return super().get_layer_depth(param_name, prefix)
