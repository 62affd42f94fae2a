"""Numbers that show during training whether the embeddings collapse or match."""
import torch
from torch import Tensor
from torch.nn import functional as F

from .precision import at_least_fp32


@torch.no_grad()
def embedding_std(z: Tensor) -> Tensor:
    """Spread of the l2-normalised embeddings over the batch; 0 means collapse.

    The number of SimSiam's figure 2 (Chen and He, arXiv 2011.10566): the standard
    deviation of each channel of z/||z||, averaged over channels. An isotropic z
    gives 1/sqrt(D) there; it is multiplied by sqrt(D) here, so that 1.0 is
    isotropic and 0.0 collapsed whatever the width.

    Args:
        z (Tensor): Shape (N, D), un-normalised embeddings of one process.

    Returns:
        Tensor: A scalar, 0 to 1 (fp32), without gradient.
    """
    z = F.normalize(at_least_fp32(z), dim=1)
    return z.std(dim=0, correction=0).mean() * z.shape[1]**0.5


@torch.no_grad()
def embedding_rank(z: Tensor) -> Tensor:
    r"""Number of directions that the l2-normalised embeddings vary in; it falls in collapse.

    The participation ratio of the eigenvalues of their covariance,

    .. math:: (\sum_i \lambda_i)^2 / \sum_i \lambda_i^2 = (\mathrm{tr}\, C)^2 / \|C\|_F^2

    (Gao et al., A theory of multineuronal dimensionality, dynamics and measurement, bioRxiv
    214262), which needs no decomposition. Embeddings on one line have rank 1 however far apart
    they are: the dimensional collapse (Jing et al., arXiv 2110.09348) that
    :func:`embedding_std` can't see.

    Args:
        z (Tensor): Shape (N, D), un-normalised embeddings of one process.

    Returns:
        Tensor: A scalar (fp32), without gradient: 1 to min(N - 1, D); if all are the
            same 0, or 1 by rounding.
    """
    with torch.autocast(z.device.type, enabled=False):
        z = F.normalize(at_least_fp32(z), dim=1)
        z = z - z.mean(dim=0)
        # C and the matrix of inner products have the same eigenvalues: take the smaller
        gram = z @ z.T if len(z) < z.shape[1] else z.T @ z
        tiny = torch.finfo(gram.dtype).tiny
        return gram.trace().square() / gram.square().sum().clamp_min(tiny)


@torch.no_grad()
def pair_accuracy(a: Tensor, b: Tensor) -> Tensor:
    """Share of rows of ``a`` whose most similar row of ``b`` (cosine) is their own pair.

    N-way top-1 retrieval in the batch of one process; chance is 1/N.

    Args:
        a (Tensor): Shape (N, D), un-normalised; row n and row n of ``b`` are a pair.
        b (Tensor): Shape (N, D), un-normalised.

    Returns:
        Tensor: A scalar from 0 to 1 (fp32).
    """
    # the scale of a row of ``a`` does not change its best match
    with torch.autocast(a.device.type, enabled=False):
        similarity = at_least_fp32(a) @ F.normalize(at_least_fp32(b), dim=1).T
    own = torch.arange(len(a), device=a.device)
    return (similarity.argmax(dim=1) == own).float().mean()
