"""The metrics of Table 3's datasets, of scores and in percent."""
from collections.abc import Callable

import torch
from torch import Tensor

from vicmae_mm.evaluation.eleven_point_map import ElevenPointMAP

from .tasks import MAP_11, PER_CLASS, TOP_1


def top_1(scores: Tensor, targets: Tensor) -> float:
    """Share of samples (N, K) whose highest score is of their class (N,)."""
    return 100 * (scores.argmax(1) == targets).double().mean().item()


def mean_per_class(scores: Tensor, targets: Tensor) -> float:
    """Mean over the classes of the share found; a class without a sample does not count."""
    right = (scores.argmax(1) == targets).double()
    return 100 * torch.stack([right[targets == label].mean()
                              for label in targets.unique()]).mean().item()


def eleven_point_map(scores: Tensor, targets: Tensor) -> float:
    """See :class:`ElevenPointMAP`; scores and targets (N, K)."""
    return ElevenPointMAP.calculate(scores, targets).item()


METRICS: dict[str, Callable[[Tensor, Tensor], float]] = {
    TOP_1: top_1,
    PER_CLASS: mean_per_class,
    MAP_11: eleven_point_map,
}
