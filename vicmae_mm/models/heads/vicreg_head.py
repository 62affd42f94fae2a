"""VICReg: variance, invariance, covariance (paper, eqs. 3 to 5)."""
import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import functional as F

from vicmae_mm.models.distributed import gather_with_grad
from vicmae_mm.models.precision import at_least_fp32
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError

from .info_nce_head import check_pairs

REDUCTIONS = ('code', 'paper')


@MODELS.register_module()
class VICRegHead(BaseModule):
    """Negative-free baseline that keeps the embeddings spread by regularisation.

    With P and Z the (N, D) embeddings of both frames::

        loss = sim * distance(P, Z) + std * [v(P) + v(Z)] + cov * [c(P) + c(Z)]     (5)
        v(P) = mean over channels of max(0, gamma - sqrt(Var + eps))                (3)
        c(P) = sum of the squared off-diagonal covariances / D                      (4)

    The paper gives no weights and normalises P and Z. With normalised embeddings the hinge of
    eq. 3 can never be met (a channel's deviation is at most 1/sqrt(D)), so the defaults are
    VICReg's own (docs/decisions.md, row 32; Bardes et al., arXiv 2105.04906).

    Variance and covariance are computed over the batches of all processes. The mean of the losses
    over processes, and the gradients after DistributedDataParallel, equal those of one process
    with the global batch. Computed in at least fp32.

    Args:
        sim, std, cov: Weights of the distance, the variance and the covariance.
        gamma: Standard deviation that each channel should reach.
        eps: Added to the variance.
        normalize: l2-normalise P and Z first, as in the paper.
        reduction: ``'code'`` follows VICReg's code: the squared distance is also averaged over
            channels, and v(P), v(Z) are halved; ``'paper'`` follows eq. 5. Else a ValueError.
        predictor: Config of a neck for the online branch, as in :class:`SimSiamHead`; the loss is
            then the mean over both directions. Section 4 of the paper has one, VICReg none.
    """

    def __init__(self, sim: float = 25., std: float = 25., cov: float = 1., gamma: float = 1.,
                 eps: float = 1e-4, normalize: bool = False, reduction: str = 'code',
                 predictor: dict | None = None) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise InputError(f'reduction must be one of {REDUCTIONS}, got {reduction!r}.')
        self.sim, self.std, self.cov = sim, std, cov
        self.gamma, self.eps, self.normalize, self.reduction = gamma, eps, normalize, reduction
        self.predictor = None if predictor is None else MODELS.build(predictor)

    def loss(self, online: Tensor, target: Tensor, videos: Tensor | None = None) -> Tensor:
        """Loss of this process's pairs, with the variance and covariance of all; a scalar >= 0.

        Arguments and errors as in :meth:`InfoNCEHead.loss`, and a ValueError for a batch of one
        pair; ``videos`` is not used, because there are no negatives.
        """
        check_pairs(online, target)
        if self.predictor is None:
            return self._one_way(online, target)
        return (self._one_way(self.predictor((online, ))[0], target)
                + self._one_way(self.predictor((target, ))[0], online)) / 2

    def _one_way(self, online: Tensor, target: Tensor) -> Tensor:
        """Eq. 5."""
        # Autocast would compute the covariance, a matrix product, in half precision.
        with torch.autocast(online.device.type, enabled=False):
            both = torch.stack([at_least_fp32(online), at_least_fp32(target)], dim=1)
            if self.normalize:
                both = F.normalize(both, dim=2)
            squared = (both[:, 0] - both[:, 1]).square()
            distance = squared.mean() if self.reduction == 'code' else squared.sum(dim=1).mean()
            both = gather_with_grad(both)
            if self.predictor is None:  # otherwise one of them is a prediction
                self.gathered = both.detach().unbind(dim=1)
            if len(both) < 2:
                raise InputError('VICReg needs the variance of a batch: at least 2 pairs, got 1.')
            p, z = (both - both.mean(dim=0)).unbind(dim=1)
            variance = self._variance(p) + self._variance(z)
            covariance = self._covariance(p) + self._covariance(z)
            if self.reduction == 'code':
                variance = variance / 2
        return self.sim * distance + self.std * variance + self.cov * covariance

    def _variance(self, centred: Tensor) -> Tensor:
        """Eq. 3, from (M, D) of zero mean."""
        deviation = (centred.square().sum(dim=0) / (len(centred) - 1) + self.eps).sqrt()
        return F.relu(self.gamma - deviation).mean()

    def _covariance(self, centred: Tensor) -> Tensor:
        """Eq. 4, from (M, D) of zero mean."""
        channels = centred.shape[1]
        covariance = centred.T @ centred / (len(centred) - 1)
        diagonal = torch.eye(channels, dtype=torch.bool, device=centred.device)
        return covariance.masked_fill(diagonal, 0).square().sum() / channels
