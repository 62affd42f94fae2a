"""The multi-layer perceptron between pooled tokens and the contrastive head."""
from collections.abc import Sequence
from typing import Any

from mmpretrain.models.necks import NonLinearNeck
from torch import Tensor, nn
from torch.nn import functional as F

from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError

# L: Linear, B: BatchNorm1d, R: ReLU, W: twice the backbone's width. Every source
# says "following VICReg" and means something different (docs/decisions.md, row 11).
VARIANTS: dict[str, dict[str, Any]] = {
    # what the sources have in common: L(C,W) B R, L(W,W) B R, L(W,W)
    'default': dict(num_layers=3, with_bias=True, with_last_bn=False, with_last_bias=True),
    # section 3.3 to the letter: L(C,W) B R, L(W,W) B R
    'section3.3': dict(num_layers=2, with_bias=True, with_last_bias=True),
    # appendix A to the letter: L(C,W), then L(W,W) B R twice
    'appendixA': dict(num_layers=2, with_bias=True, with_last_bias=True),
    # the authors' later code: L(C,4096) B R, L(4096,4096) B R, L(4096,128)
    'official': dict(
        hid_channels=4096, out_channels=128,
        num_layers=3, with_bias=True, with_last_bn=False, with_last_bias=True),
    # SimSiam (row 31): L(C,2048) B R, L(2048,2048) B R, L(2048,2048) B without affine; no biases
    'simsiam': dict(
        hid_channels=2048, out_channels=2048, num_layers=3, with_last_bn_affine=False),
    # VICReg's expander (row 32): L(C,W) B R, L(W,W) B R, L(W,W) without bias
    'vicreg': dict(num_layers=3, with_bias=True, with_last_bn=False),
}
# In these variants a ReLU follows the last layer, so all cosines are >= 0.
_END_IN_RELU = ('section3.3', 'appendixA')


@MODELS.register_module()
class Projector(NonLinearNeck):
    """Projector P (and target T) of section 3.3, in the variants that its sources describe.

    mmpretrain's ``NonLinearNeck`` with its parameter names (``fc0``, ``bn0``, ``fc1``, ...);
    ``'appendixA'`` has a Linear ``expand`` before it.

    Args:
        in_channels: C, the width of the backbone.
        variant: One of :data:`VARIANTS`, else a ValueError.
        hid_channels, out_channels: Widths of the hidden layers and D of the embedding. None: those
            of the variant (4096 and 128 for ``'official'``, 2048 for ``'simsiam'``, else 2 C).
        norm_cfg: Normalisation; the default computes statistics over all processes.
        init_cfg: Initialisation; a model's ``init_cfg`` also applies here.
    """

    def __init__(self, in_channels: int, variant: str = 'default',
                 hid_channels: int | None = None, out_channels: int | None = None,
                 norm_cfg: dict = dict(type='vicmae_mm.SyncBN1d'),  # noqa: B006 (never written to)
                 init_cfg: dict | list[dict] | None = None) -> None:
        if variant not in VARIANTS:
            raise InputError(
                f'The projector variant must be one of {tuple(VARIANTS)}, got {variant!r}.')
        layers = dict(VARIANTS[variant])
        default_hidden = layers.pop('hid_channels', 2 * in_channels)
        default_out = layers.pop('out_channels', 2 * in_channels)
        hid_channels = default_hidden if hid_channels is None else hid_channels
        expands = variant == 'appendixA'
        super().__init__(
            in_channels=hid_channels if expands else in_channels,
            hid_channels=hid_channels,
            out_channels=default_out if out_channels is None else out_channels,
            with_avg_pool=False, norm_cfg=norm_cfg, init_cfg=init_cfg, **layers)
        self.in_channels = in_channels
        self.expand = nn.Linear(in_channels, hid_channels) if expands else nn.Identity()
        self.ends_in_relu = variant in _END_IN_RELU

    def forward(self, x: Tensor | Sequence[Tensor]) -> Tensor | tuple[Tensor]:
        """Project features (N, C) to un-normalised embeddings (N, D).

        A tuple or list of one such tensor, as for mmpretrain's necks, gives a tuple.
        """
        if isinstance(x, Tensor):
            return self.forward((x, ))[0]
        if len(x) != 1:
            raise InputError(f'A Projector takes one tensor, got {len(x)}: put a neck before it '
                             'that makes one of them.')
        embeddings = super().forward((self.expand(x[0]), ))[0]
        return (F.relu(embeddings) if self.ends_in_relu else embeddings, )
