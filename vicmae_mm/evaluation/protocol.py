"""Linear evaluation and kNN on frozen features (Kornblith et al., arXiv 1805.08974)."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vicmae_mm.utils.errors import InputError

from .eleven_point_map import ElevenPointMAP
from .knn import knn_votes
from .logistic_regression import LinearClassifier, LogisticRegression

TOP_1 = 'top-1'
PER_CLASS = 'mean per class'
MAP_11 = '11-point mAP'

# From strong to weak, so that each solution is close to the next, which starts from it.
PENALTIES = torch.logspace(5, -6, 45, dtype=torch.float64).tolist()
HELD_OUT = 0.2


@dataclass(frozen=True)
class Features:
    """Features (N, C) and targets: classes (N,), or presence of each class (N, K)."""

    features: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def __add__(self, other: Features) -> Features:
        return Features(torch.cat([self.features, other.features]),
                        torch.cat([self.targets, other.targets]))

    def take(self, chosen: Tensor) -> Features:
        """Those at some indices (M,)."""
        return Features(self.features[chosen], self.targets[chosen])


def top_1(scores: Tensor, targets: Tensor) -> float:
    """Percentage of samples (N, K) whose highest score is that of their class (N,)."""
    return 100 * (scores.argmax(1) == targets).double().mean().item()


def mean_per_class(scores: Tensor, targets: Tensor) -> float:
    """Mean of :func:`top_1` over the classes; a class without samples does not count."""
    right = (scores.argmax(1) == targets).double()
    return 100 * torch.stack([right[targets == label].mean()
                              for label in targets.unique()]).mean().item()


METRICS: dict[str, Callable[[Tensor, Tensor], float]] = {
    TOP_1: top_1,
    PER_CLASS: mean_per_class,
    MAP_11: lambda scores, targets: ElevenPointMAP.calculate(scores, targets).item(),
}


@dataclass(frozen=True)
class Splits:
    """Features to train on, to choose the penalty on, and to score."""

    train: Features
    val: Features
    test: Features


@dataclass(frozen=True)
class LinearScore:
    """Scores in percent, the penalty with the best validation score, and test logits (N, K)."""

    test: float
    val: float
    penalty: float
    logits: Tensor


def hold_out(data: Any) -> tuple[Any, Any]:
    """Hold out a random fifth of each class for validation, always the same one.

    The share is rounded, but at least one sample of a class with two or more; a ValueError is
    raised if none has. Returns the rest and the share, each in the order of ``data``, features or
    images whose targets are classes (N,).
    """
    generator = torch.Generator().manual_seed(0)
    held = torch.zeros(len(data), dtype=torch.bool)
    for label in data.targets.unique():
        members = (data.targets == label).nonzero().flatten()
        count = round(HELD_OUT * len(members)) or int(len(members) > 1)
        held[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    if not held.any():
        raise InputError('no class has two images to train on, so none can be held out for '
                         'validation.')
    rest, held_out = (data.take(chosen.nonzero().flatten()) for chosen in (~held, held))
    return rest, held_out


def linear_score(splits: Splits, metric: str, num_classes: int,
                 device: str | torch.device = 'cpu',
                 progress: Callable[[int], object] = lambda done: None) -> LinearScore:
    """Choose the best of :data:`PENALTIES` on validation, fit on train and validation, score test.

    Of equally good penalties, the strongest is taken. ``metric`` is a key of :data:`METRICS`;
    ``progress`` is called with 1 after each penalty.
    """
    def problem(data: Features) -> LogisticRegression:
        return LogisticRegression(data.features.to(device), data.targets.to(device), num_classes)

    def logits(classifier: LinearClassifier, data: Features) -> Tensor:
        return classifier.scores(data.features.to(device)).cpu()

    search = problem(splits.train)
    best, chosen, classifier = (-1., 0.), None, None  # validation score and penalty
    for penalty in PENALTIES:
        classifier = search.fit(penalty, start=classifier)
        val = METRICS[metric](logits(classifier, splits.val), splits.val.targets)
        if val > best[0]:
            best, chosen = (val, penalty), classifier
        progress(1)
    final = logits(problem(splits.train + splits.val).fit(best[1], chosen), splits.test)
    return LinearScore(METRICS[metric](final, splits.test.targets), *best, final)


def knn_score(splits: Splits, metric: str, num_classes: int, k: int) -> tuple[float, Tensor]:
    """Votes (N, K) of the neighbours in train and validation, after their score in percent."""
    bank = splits.train + splits.val
    # With several labels per image, those to ignore (-1) get no vote.
    present = (bank.targets.clamp_min(0) if bank.targets.ndim == 2 else
               F.one_hot(bank.targets, num_classes))
    votes = knn_votes(bank.features, present, splits.test.features, k)
    return METRICS[metric](votes, splits.test.targets), votes
