"""Metrics logged during training: whether embeddings collapse, and whether pairs match.

They take embeddings (N, D), normalised or not, and return fp32 scalars without gradient.
"""
from collections.abc import Mapping, Sequence

import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor
from torch.nn import functional as F

from .distributed import gather_with_grad
from .precision import at_least_fp32


@torch.no_grad()
def global_monitors(online: Tensor, target: Tensor,
                    gathered: Sequence[Tensor] | None = None,
                    rows: Mapping[str, Sequence[int]] | None = None) -> dict[str, Tensor]:
    """Compute the monitors of the global batch.

    Args:
        online: This process's embeddings (N, D) of the first frames.
        target: The same of the second frames.
        gathered: Both of all processes (W * N, D), in rank order, where the loss has gathered
            them; None gathers them here.
        rows: As in :func:`sums_by_source`.

    Returns:
        ``embedding_std`` and ``embedding_rank``, the same on every process, and
        ``pair_accuracy`` of this process's rows among all: its mean over processes is that of
        the global batch. Also ``pair_accuracy`` by source.
    """
    onlines, targets = online, target
    if get_world_size() > 1:
        onlines, targets = gathered or gather_with_grad(torch.stack([online, target], 1)).unbind(1)
    embeddings = torch.cat((onlines, targets))
    hits = _pair_hits(online, targets, get_rank() * len(online))
    return dict(
        embedding_std=embedding_std(embeddings),
        embedding_rank=embedding_rank(embeddings),
        pair_accuracy=hits.mean(),
        **sums_by_source('pair_accuracy', [hits], rows or {}))


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
def pair_accuracy(a: Tensor, b: Tensor, first: int = 0) -> Tensor:
    """Share of rows of ``a`` whose most similar row of ``b`` (cosine) is their own pair.

    M-way top-1 retrieval among the M rows of ``b``, from 0 to 1; chance is 1/M. Row n of ``a`` and
    row ``first + n`` of ``b`` are a pair.
    """
    return _pair_hits(a, b, first).mean()


def _pair_hits(a: Tensor, b: Tensor, first: int) -> Tensor:
    # Only b is normalised: the scale of a row of a does not change its best match.
    with torch.autocast(a.device.type, enabled=False):
        similarity = at_least_fp32(a) @ F.normalize(at_least_fp32(b), dim=1).T
    own = torch.arange(first, first + len(a), device=a.device)
    return (similarity.argmax(dim=1) == own).float()


def sums_by_source(name: str, values: Sequence[Tensor] | None,
                   rows: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """What each source adds to a mean, ``<name>/<source>/sum``, and its ``.../share`` of samples.

    ``values`` are (V * N,) together, for V views or pairs of each of N samples, view by view, or
    None if there are none; ``rows`` says by source which of the N samples are from it.
    """
    if not values or not rows:
        return {}
    each = torch.cat([*values]).view(-1, sum(map(len, rows.values())))
    return {f'{name}/{source}/{kind}': value for source, own in rows.items() for kind, value in (
        ('sum', each[:, own].sum() / each.numel()),
        ('share', torch.tensor(len(own) / each.shape[1])))}
