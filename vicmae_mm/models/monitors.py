"""Metrics logged during training: whether embeddings collapse, and whether pairs match.

All take un-normalised embeddings (N, D) of one process and return an fp32 scalar without gradient.
"""
import torch
from torch import Tensor
from torch.nn import functional as F

from .precision import at_least_fp32


@torch.no_grad()
def embedding_std(z: Tensor) -> Tensor:
    """Spread of the l2-normalised embeddings over the batch: 0 is collapsed, 1 isotropic.

    SimSiam's figure 2 (Chen and He, arXiv 2011.10566) shows the standard deviation of each channel
    of z/||z||, averaged over channels. Multiplied by sqrt(D), it does not depend on the width.
    """
    z = F.normalize(at_least_fp32(z), dim=1)
    return z.std(dim=0, correction=0).mean() * z.shape[1]**0.5


@torch.no_grad()
def embedding_rank(z: Tensor) -> Tensor:
    r"""Effective number of directions in which the l2-normalised embeddings vary.

    The participation ratio of the eigenvalues of their covariance,

    .. math:: (\sum_i \lambda_i)^2 / \sum_i \lambda_i^2 = (\mathrm{tr}\, C)^2 / \|C\|_F^2

    (Gao et al., A theory of multineuronal dimensionality, dynamics and measurement, bioRxiv
    214262), which needs no decomposition. Embeddings on one line have rank 1, however far apart
    they are: the dimensional collapse (Jing et al., arXiv 2110.09348) that
    :func:`embedding_std` cannot detect. The range is 1 to min(N - 1, D); for equal embeddings the
    result is 0, or 1 by rounding.
    """
    with torch.autocast(z.device.type, enabled=False):
        z = F.normalize(at_least_fp32(z), dim=1)
        z = z - z.mean(dim=0)
        # The covariance and the matrix of inner products have the same nonzero eigenvalues.
        gram = z @ z.T if len(z) < z.shape[1] else z.T @ z
        tiny = torch.finfo(gram.dtype).tiny
        return gram.trace().square() / gram.square().sum().clamp_min(tiny)


@torch.no_grad()
def pair_accuracy(a: Tensor, b: Tensor) -> Tensor:
    """Share of rows of ``a`` whose most similar row of ``b`` (cosine) is their own pair.

    N-way top-1 retrieval from 0 to 1; chance is 1/N. Row n of ``a`` and row n of ``b`` are a pair.
    """
    # Only b is normalised: the scale of a row of a does not change its best match.
    with torch.autocast(a.device.type, enabled=False):
        similarity = at_least_fp32(a) @ F.normalize(at_least_fp32(b), dim=1).T
    own = torch.arange(len(a), device=a.device)
    return (similarity.argmax(dim=1) == own).float().mean()
