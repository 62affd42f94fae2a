"""Metrics logged during training: whether embeddings collapse, and whether pairs match.

They take embeddings (N, D), normalised or not, and return fp32 scalars without gradient.
"""
from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor
from torch.nn import functional as F

from .distributed import gather_with_grad
from .precision import at_least_fp32

# Numbers, 256 MiB in fp32: larger batches are taken in chunks, with the same values to rounding.
AT_ONCE = 2**26


@torch.no_grad()
def global_monitors(online: Tensor, target: Tensor,
                    gathered: Sequence[Tensor] | None = None,
                    rows: Mapping[str, Sequence[int]] | None = None) -> dict[str, Tensor]:
    """Compute the monitors of the global batch.

    Of this process's embeddings (N, D) of the first and of the second frames, and ``gathered``,
    both of all processes (W * N, D), in rank order, where the loss has gathered them.

    Returns:
        ``embedding_std`` and ``embedding_rank``, the same on every process, and
        ``pair_accuracy`` of this process's rows among all: its mean over processes is that of
        the global batch. Also ``pair_accuracy`` by source, for ``rows`` of :func:`sums_by_source`.
    """
    onlines, targets = online, target
    if get_world_size() > 1:
        onlines, targets = gathered or gather_with_grad(torch.stack([online, target], 1)).unbind(1)
    hits = pair_hits(online, targets, get_rank() * len(online))
    std, rank = embedding_spread(onlines, targets)
    return dict(embedding_std=std, embedding_rank=rank, pair_accuracy=hits.mean(),
                **sums_by_source('pair_accuracy', [hits], rows or {}))


@torch.no_grad()
def embedding_spread(*views: Tensor) -> tuple[Tensor, Tensor]:
    """How much the l2-normalised embeddings of all views vary, and in how many directions.

    First, the mean standard deviation of channels (SimSiam's figure 2: Chen and He, arXiv
    2011.10566), times sqrt(D), so that the width does not matter: 0 is collapsed, 1 isotropic.

    Second, the participation ratio of the eigenvalues of their covariance,

    ``(sum of eigenvalues)^2 / sum of squared eigenvalues = tr(C)^2 / ||C||_F^2``

    (Gao et al., A theory of multineuronal dimensionality, dynamics and measurement, bioRxiv
    214262), which needs no decomposition. Embeddings on one line have rank 1, however far apart
    they are: the dimensional collapse (Jing et al., arXiv 2110.09348) that the first cannot detect.
    The range is 1 to min(N - 1, D); for equal embeddings the result is 0, or 1 by rounding.
    """
    number, width = sum(map(len, views)), views[0].shape[1]
    few = number * width <= AT_ONCE
    chunks = [torch.cat(views)] if few else [
        rows for view in views for rows in view.split(max(1, AT_ONCE // width))]
    with torch.autocast(views[0].device.type, enabled=False):
        # normalised each time: all of them would take as much memory as the embeddings
        mean = torch.stack([_unit(rows).sum(dim=0) for rows in chunks]).sum(dim=0) / number
        centred = (_unit(rows) - mean for rows in chunks)
        # The covariance and the matrix of inner products have the same nonzero eigenvalues.
        grams = (z @ z.T if few and number < width else z.T @ z for z in centred)
        gram = reduce(torch.add, grams)
    std = _unit(chunks[0]).std(dim=0, correction=0) if few else (gram.diagonal() / number).sqrt()
    tiny = torch.finfo(gram.dtype).tiny
    rank = gram.trace().square() / gram.square().sum().clamp_min(tiny)
    return std.mean() * width**0.5, rank


@torch.no_grad()
def pair_hits(a: Tensor, b: Tensor, first: int = 0) -> Tensor:
    """Whether the most similar row of ``b`` (cosine) of each row of ``a`` is its own pair, 1 or 0.

    Their mean is the M-way top-1 accuracy of retrieval among the M rows of ``b``; chance is 1/M.
    Row n of ``a`` and row ``first + n`` of ``b`` are a pair.
    """
    # Only b is normalised: the scale of a row of a does not change its best match.
    with torch.autocast(a.device.type, enabled=False):
        b = _unit(b).T
        match = torch.cat([(at_least_fp32(rows) @ b).argmax(dim=1)
                           for rows in a.split(max(1, AT_ONCE // b.shape[1]))])
    return (match == torch.arange(first, first + len(a), device=a.device)).float()


def _unit(rows: Tensor) -> Tensor:
    return F.normalize(at_least_fp32(rows), dim=1)


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
