"""One embedding a frame from its tokens (paper, section 3.3, Omega; Table 5)."""
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
    """Pool the visible patch tokens of a frame; the class token is left out.

    ``'gem'`` is the generalised mean (mean of x^p)^(1/p) of each channel, with
    x clamped to at least ``eps`` (about half of a LayerNorm's output is
    negative) and p to at least 1 (the mean); p grows towards the maximum.
    It runs in fp32, where eps^p does not underflow (docs/decisions.md, rows 14, 15).

    Args:
        mode (str): ``'mean'``, ``'max'``, ``'gem'``, or ``'cls'`` for the class
            token itself. Defaults to ``'mean'``.
        p (float): Initial exponent of ``'gem'``, >= 1. Defaults to 3.
        p_trainable (bool): Learn p. It has one dimension, so that
            ``flat_decay_mult=0`` keeps weight decay off it. Defaults to True.
        eps (float): Lower bound of x in ``'gem'``. Defaults to 1e-6.

    Raises:
        ValueError: For an unknown mode, or p below 1.
    """

    def __init__(self,
                 mode: str = 'mean',
                 p: float = 3.,
                 p_trainable: bool = True,
                 eps: float = 1e-6) -> None:
        super().__init__()
        if mode not in MODES:
            raise InputError(f'pooling mode must be one of {MODES}, got {mode!r}')
        if p < 1:
            raise InputError(f'the exponent p of GeM pooling must be at least 1, got {p}')
        self.mode = mode
        self.eps = eps
        if mode == 'gem':
            self.p = nn.Parameter(torch.full((1, ), float(p)), requires_grad=p_trainable)

    def forward(self, tokens: Tensor) -> Tensor:
        """Pool.

        Args:
            tokens (Tensor): Shape (B, 1+L, C), the class token first, after the
                final norm.

        Returns:
            Tensor: Shape (B, C); fp32 for ``'gem'``, else of the dtype of ``tokens``.

        Raises:
            ValueError: If ``tokens`` has not this shape, or no patch token.
        """
        if tokens.dim() != 3 or tokens.shape[1] < 2:
            raise InputError('pooling needs tokens of shape (batch, 1 + patches, channels) with '
                             f'the class token first, got {tuple(tokens.shape)}')
        if self.mode == 'cls':
            return tokens[:, 0]
        patches = tokens[:, 1:]
        if self.mode == 'mean':
            return patches.mean(dim=1)
        if self.mode == 'max':
            return patches.amax(dim=1)
        return self._generalised_mean(patches)

    def _generalised_mean(self, patches: Tensor) -> Tensor:
        with torch.autocast(patches.device.type, enabled=False):
            image = at_least_fp32(patches).transpose(1, 2).unsqueeze(-1)  # (B, C, L, 1)
            return gem(image, p=self.p.clamp(min=1), eps=self.eps).flatten(1)
