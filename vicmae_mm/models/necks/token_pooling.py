"""Pool the tokens of a frame to one vector (paper, section 3.3, Omega; Table 5)."""
from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpretrain.models.necks.gem import gem
from torch import Tensor, nn

from vicmae_mm.models.precision import at_least_fp32
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError

MODES = ('mean', 'max', 'gem', 'cls')


@MODELS.register_module()
class TokenPooling(BaseModule):
    """Pool the visible patch tokens of a frame, without the class token.

    ``'gem'`` is the generalised mean (mean of x^p)^(1/p) per channel: the mean for p = 1, close to
    the maximum for large p (docs/decisions.md, rows 14, 15). Arguments out of range raise a
    ValueError.

    Args:
        mode: ``'mean'``, ``'max'``, ``'gem'``, or ``'cls'`` for the class token itself.
        p: Initial exponent of ``'gem'``, >= 1.
        p_trainable: Whether p is learned.
        num_extra_tokens: Tokens before those of the patches, 0 or more: the class token, and
            those of distilled networks (2) or networks with registers; 1 or more for ``'cls'``.
    """

    def __init__(self, mode: str = 'mean', p: float = 3., p_trainable: bool = True,
                 num_extra_tokens: int = 1) -> None:
        super().__init__()
        if mode not in MODES:
            raise InputError(f'The pooling mode must be one of {MODES}, got {mode!r}.')
        if p < 1:
            raise InputError(f'The exponent p of GeM pooling must be at least 1, got {p}.')
        if num_extra_tokens < (mode == 'cls'):
            raise InputError(f'num_extra_tokens={num_extra_tokens} must be 0 or more, and 1 or '
                             "more for mode='cls', which takes the first token.")
        self.mode, self.num_extra_tokens = mode, num_extra_tokens
        if mode == 'gem':
            # One-dimensional, so that flat_decay_mult=0 exempts it from weight decay.
            self.p = nn.Parameter(torch.full((1, ), float(p)), requires_grad=p_trainable)

    def forward(self, tokens: Tensor | Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
        """Pool tokens (B, 1 + L, C), taken after the final norm, with the class token first.

        To (B, C), fp32 for ``'gem'``, otherwise of the same dtype. A tuple or list of such, as
        mmpretrain's backbones return it with ``out_type='raw'``, gives a tuple. Another shape, or
        no patch token, raises a ValueError.
        """
        if isinstance(tokens, Tensor):
            return self._pooled(tokens)
        return tuple(map(self._pooled, tokens))

    def _pooled(self, tokens: Tensor) -> Tensor:
        if tokens.dim() != 3 or tokens.shape[1] <= self.num_extra_tokens:
            extra = self.num_extra_tokens
            order = 'the class token first' if extra == 1 else f'{extra} other tokens first'
            raise InputError(f'Pooling needs tokens of shape (batch, {extra} + patches, channels) '
                             f'with {order}, got {tuple(tokens.shape)}.')
        if self.mode == 'cls':
            return tokens[:, 0]
        patches = tokens[:, self.num_extra_tokens:]
        if self.mode == 'mean':
            return patches.mean(dim=1)
        if self.mode == 'max':
            return patches.amax(dim=1)
        # About half of a LayerNorm's output is negative: gem clamps it to 1e-6, whose powers would
        # underflow in half precision. p is clamped to stay between the mean and the maximum.
        with torch.autocast(patches.device.type, enabled=False):
            image = at_least_fp32(patches).transpose(1, 2).unsqueeze(-1)  # (B, C, L, 1)
            return gem(image, p=self.p.clamp(min=1)).flatten(1)
