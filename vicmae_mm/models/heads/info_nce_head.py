"""InfoNCE with the negatives of every process (paper, eq. 7)."""
from collections.abc import Callable
from functools import partial
from operator import index
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from vicmae_mm.models.distributed import gather_with_grad
from vicmae_mm.models.precision import at_least_fp32
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError

NEGATIVES = ('both', 'target')
AT_ONCE = 2**26  # similarities, 256 MiB in fp32


def check_pairs(online: Tensor, target: Tensor) -> None:
    """Raise ValueError unless both are (N, D), with the same N and D."""
    if online.dim() != 2 or online.shape != target.shape:
        raise InputError(
            'A contrastive head needs the embeddings of both frames, of one shape (pairs, '
            f'channels), but got {tuple(online.shape)} and {tuple(target.shape)}.')


@MODELS.register_module()
class InfoNCEHead(BaseModule):
    """Contrast each frame's embedding with those of all other videos.

    Eq. 7 of the paper, for every pair (p_n, z_n) of l2-normalised embeddings::

        loss_n = -log( exp(p_n.z_n / t) / sum_k exp(p_n.z_k / t) )

    By default the sum runs over both frames of all pairs except p_n itself (2N-1 terms), and
    the loss is the mean over both frames as anchors. This is NT-Xent, the reading in which the
    equation's 2N and its indicator make sense (docs/decisions.md, row 8).

    Each process uses its own rows as anchors and the rows of all processes as candidates. The
    mean of the losses over processes, and the gradients after DistributedDataParallel, equal
    those of one process with the global batch; processes must have equal batch sizes.
    Computed in at least fp32. Of more than :data:`AT_ONCE` similarities, some are computed at a
    time, which only changes the rounding.

    Args:
        temperature: t above, > 0 (docs/decisions.md, row 9).
        symmetric: Use both frames as anchors, not only ``online``.
        negatives: ``'both'``: candidates are both frames of all pairs; ``'target'``: only the
            embeddings of the other branch (N-way).
        gather: Use candidates from all processes.
        same_video: Pairs of other samples of the same video (segments of it, copies by
            ``RepeatDataset``, repeats by ``RepeatAug``) are ``'negatives'``, as those of other
            videos are, or ``'left_out'``, as several pairs of one sample (``num_pairs``) always
            are (docs/decisions.md, row 58). A pair without negatives in a batch adds 0 to the loss.
        across_sources: Whether pairs of other sources of a ``MixedPairs`` are negatives (row 59).

    Attributes:
        gathered: Both branches of all processes, (M, D) each, of the last loss; for monitors.
        pair_losses: The last losses of this process's pairs, (N,) together for each direction.
    """

    def __init__(self, temperature: float = 0.1, symmetric: bool = True,
                 negatives: str = 'both', gather: bool = True, same_video: str = 'negatives',
                 across_sources: bool = True) -> None:
        super().__init__()
        if not temperature > 0:
            raise InputError(f'temperature must be above 0, got {temperature}.')
        for name, value, known in (('negatives', negatives, NEGATIVES),
                                   ('same_video', same_video, ('negatives', 'left_out')),
                                   ('across_sources', across_sources, (True, False))):
            if value not in known:
                raise InputError(f'{name} must be one of {known}, got {value!r}.')
        self.temperature, self.symmetric, self.negatives = temperature, symmetric, negatives
        self.gather, self.same_video, self.across_sources = gather, same_video, across_sources
        self.needs_identities = same_video == 'left_out' or not across_sources

    def identify(self, data_samples: Any, number: int) -> list[tuple[int, int]]:
        """Video and source of each sample, the ``videos`` of a loss that ``needs_identities``."""
        samples = data_samples if isinstance(data_samples, (list, tuple)) else [None] * number
        try:  # no two processes share a sample, as the default numbers them
            return [(row if self.same_video == 'negatives' else index(sample.video_id),
                     0 if self.across_sources else sample.sources.index(sample.source))
                    for row, sample in enumerate(samples, get_rank() * number)]
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(
                f'same_video={self.same_video!r} and across_sources={self.across_sources} need '
                'data_samples with the video_id of vicmae_mm.PackFrames or the source of '
                'vicmae_mm.MixedPairs.') from error

    def loss(self, online: Tensor, target: Tensor,
             videos: Tensor | list[tuple[int, int]] | None = None) -> Tensor:
        """Mean loss of this process's anchors.

        Row n of ``online`` and of ``target``, both (N, D), un-normalised, are a pair. ``videos``
        are integers (N,), the video that a pair is from, where a video provides several (repeated
        augmentation); other pairs of the same video are not negatives. None: every pair is from a
        different video. If ``needs_identities``, what :meth:`identify` returns, for each pair.
        Other shapes, or ``videos`` that are not as the options need them, raise a ValueError.
        """
        check_pairs(online, target)
        self.pair_losses: list[Tensor] = []
        if self.needs_identities != isinstance(videos, list):
            raise InputError('videos must be what identify() returns, for same_video='
                             f'{self.same_video!r} and across_sources={self.across_sources}.')
        if videos is None:
            videos = torch.arange(len(online), device=online.device)
        elif isinstance(videos, Tensor) and videos.shape != online.shape[:1]:
            raise InputError(f'videos must give the video of each of the {len(online)} pairs, '
                             f'shape ({len(online)},), got shape {tuple(videos.shape)}.')
        # Autocast would compute the similarities, which are divided by 0.1, in half precision.
        with torch.autocast(online.device.type, enabled=False):
            online = F.normalize(at_least_fp32(online), dim=1)
            target = F.normalize(at_least_fp32(target), dim=1)
            onlines, targets, first = self._candidates(online, target)
            left_out = self._left_out(videos, first, len(onlines), online.device)
            branches = [(online, onlines, targets), (target, targets, onlines)]
            losses = [self._mean_loss(*each, left_out, first)
                      for each in branches[:1 + self.symmetric]]
            return sum(losses[1:], losses[0]) / len(losses)

    def num_negatives(self, videos: int, pairs: int, processes: int) -> int:
        """Most for an anchor, with ``pairs`` of each of ``videos`` samples on a process."""
        seen = videos * (processes if self.gather else 1)
        return (seen - 1) * pairs * (2 if self.negatives == 'both' else 1)

    def _candidates(self, online: Tensor, target: Tensor) -> tuple[Tensor, Tensor, int]:
        """Both branches over all processes, (M, D) each, and the index of our first row there."""
        if not self.gather:
            return online, target, 0
        # Stacked, so that both branches need only one collective.
        pairs = gather_with_grad(torch.stack([online, target], dim=1))
        self.gathered = pairs.detach().unbind(dim=1)
        onlines, targets = pairs.unbind(dim=1)
        return onlines, targets, get_rank() * len(online)

    def _left_out(self, videos: Tensor | list[tuple[int, int]], first: int, number: int,
                  device: torch.device) -> Callable[[Tensor], Tensor]:
        """Gives (n, M) of some rows: True where the column's pair cannot be their negative."""
        if isinstance(videos, Tensor):  # the padding is False: no two processes share a video
            padding = first, number - first - len(videos)
            return lambda rows: F.pad(videos[rows, None] == videos, padding)
        own = torch.as_tensor(np.array(videos, np.int64)).to(device)
        every = gather_with_grad(own) if self.gather else own
        return lambda rows: (own[rows, None, 0] == every[:, 0]) | (
            (not self.across_sources) & (own[rows, None, 1] != every[:, 1]))

    def _mean_loss(self, anchors: Tensor, own: Tensor, other: Tensor,
                   left_out: Callable[[Tensor], Tensor], first: int) -> Tensor:
        """Of one branch; the similarities of a chunk are computed again for its gradient."""
        at_once = max(1, AT_ONCE // (2 * len(other)))
        run: Any = partial(checkpoint, self._cross_entropy, use_reentrant=False)
        chunks = anchors.split(at_once)
        if len(chunks) == 1:
            run, chunks = self._cross_entropy, [anchors]
        sums, each = zip(*(run(chunk, own, other, left_out, first, number * at_once)
                           for number, chunk in enumerate(chunks)), strict=True)
        self.pair_losses += each
        return sum(sums[1:], sums[0]) / len(anchors)

    def _cross_entropy(self, anchors: Tensor, own: Tensor, other: Tensor,
                       left_out: Callable[[Tensor], Tensor], first: int,
                       start: int) -> tuple[Tensor, Tensor]:
        """Classify which of the candidates is each anchor's pair; the sum of losses, and each.

        ``anchors`` (n, D) are our rows from ``start`` on. The first of our rows is row ``first`` of
        ``own`` (M, D), which has all embeddings of their branch, and the pair of that row of
        ``other``, which has those of the other branch.
        """
        rows = torch.arange(start, start + len(anchors), device=anchors.device)
        excluded, pair = left_out(rows), first + rows
        is_pair = pair[:, None] == torch.arange(len(other), device=anchors.device)
        similarity = (anchors @ other.T).masked_fill(excluded & ~is_pair, -torch.inf)
        if self.negatives == 'both':
            # Those left out include the anchor itself: the indicator of eq. 7.
            to_own = (anchors @ own.T).masked_fill(excluded, -torch.inf)
            similarity = torch.cat([similarity, to_own], dim=1)
        log_shares = F.log_softmax(similarity / self.temperature, dim=1)
        each = -log_shares.detach().gather(1, pair[:, None])[:, 0]
        return F.nll_loss(log_shares, pair, reduction='sum'), each
