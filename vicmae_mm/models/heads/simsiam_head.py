"""SimSiam: predict one frame's embedding from the other's (paper, eq. 2)."""
import torch
from mmengine.model import BaseModule
from mmpretrain.models.losses import CosineSimilarityLoss
from torch import Tensor

from vicmae_mm.models.precision import at_least_fp32
from vicmae_mm.registry import MODELS

from .info_nce_head import check_pairs

PREDICTOR = dict(
    type='mmpretrain.NonLinearNeck', in_channels=2048, hid_channels=512, out_channels=2048,
    with_avg_pool=False, with_last_bn=False, with_last_bias=True,
    norm_cfg=dict(type='vicmae_mm.SyncBN1d'))


@MODELS.register_module()
class SimSiamHead(BaseModule):
    """Negative-free baseline: 2 (1 - p.z), the mean over both directions.

    p is the predictor's output for one frame, z the other frame's embedding, both l2-normalised:
    ||p - z||^2 of eq. 2 (docs/decisions.md, row 31). The default is SimSiam's own predictor, for
    use after ``Projector(variant='simsiam')``. To follow section 3.2 of the paper literally,
    where z is the plain class token, use no projector and a predictor as wide as the backbone.

    A mean over rows: exact for any number of processes if the predictor's normalisation is
    (``vicmae_mm.SyncBN1d``). Computed in at least fp32.

    Args:
        predictor: Config of a neck that takes and returns a tuple of one (N, D) tensor, such as
            ``mmpretrain.NonLinearNeck``. None: no predictor, so the embeddings collapse.
        stop_grad: Stop the gradient into z. Without it the embeddings collapse.
    """

    def __init__(self, predictor: dict | None = PREDICTOR, stop_grad: bool = True) -> None:
        super().__init__()
        self.predictor = None if predictor is None else MODELS.build(predictor)
        self.stop_grad = stop_grad
        self.loss_module = CosineSimilarityLoss(shift_factor=2., scale_factor=2.)

    def loss(self, online: Tensor, target: Tensor, videos: Tensor | None = None) -> Tensor:
        """Mean loss of this process's pairs, a scalar from 0 to 4.

        Arguments and errors as in :meth:`InfoNCEHead.loss`; ``videos``, for negatives, is not used.
        """
        check_pairs(online, target)
        return (self._one_way(online, target) + self._one_way(target, online)) / 2

    def _one_way(self, p: Tensor, z: Tensor) -> Tensor:
        if self.predictor is not None:
            p = self.predictor((p, ))[0]
        if self.stop_grad:
            z = z.detach()
        with torch.autocast(p.device.type, enabled=False):
            return self.loss_module(at_least_fp32(p), at_least_fp32(z))
