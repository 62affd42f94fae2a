"""Linear evaluation and kNN on frozen features (Kornblith et al., arXiv 1805.08974)."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from vicmae_mm.evaluation.knn import knn_votes
from vicmae_mm.evaluation.logistic_regression import LinearClassifier, LogisticRegression

from .cached_features import Features
from .images import DatasetProblem
from .metrics import METRICS

# From strong to weak, so that each solution is near the next
PENALTIES = torch.logspace(5, -6, 45, dtype=torch.float64).tolist()
HELD_OUT = 0.2


@dataclass(frozen=True)
class Splits:
    """Features to train on, to choose the penalty on, and to score."""

    train: Features
    val: Features
    test: Features


@dataclass(frozen=True)
class LinearScore:
    """Scores in percent and the penalty with the best of validation."""

    test: float
    val: float
    penalty: float


def hold_out(data: Features, share: float = HELD_OUT, seed: int = 0) -> tuple[Features, Features]:
    """Take a share of each class, drawn at random, for validation.

    Args:
        data: With classes (N,) as targets.
        share: Of each class; rounded, but at least one sample where a class has two.
        seed: Of the draw.

    Returns:
        The rest and the share, each in the order of ``data``.

    Raises:
        DatasetProblem: If no class has two samples.
    """
    generator = torch.Generator().manual_seed(seed)
    held = torch.zeros(len(data), dtype=torch.bool)
    for label in data.targets.unique():
        members = (data.targets == label).nonzero().flatten()
        count = round(share * len(members)) or int(len(members) > 1)
        held[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    if not held.any():
        raise DatasetProblem('no class has two images to train on, so none can be held out for '
                             'validation.')
    return data[~held], data[held]


def linear_score(splits: Splits,
                 metric: str,
                 num_classes: int,
                 device: str | torch.device = 'cpu',
                 progress: Callable[[int], object] = lambda done: None) -> LinearScore:
    """Choose among 45 penalties on validation, fit on train and validation, score the test.

    Of penalties that are equally good, the strongest is taken.

    Args:
        splits: The features.
        metric: A key of ``METRICS``.
        num_classes: K.
        device: Where to fit.
        progress: Called with 1 after each penalty.
    """
    score = METRICS[metric]
    problem = _problem(splits.train, num_classes, device)
    best = LinearScore(test=0, val=-1, penalty=0)
    classifier: LinearClassifier | None = None
    chosen: LinearClassifier | None = None
    for penalty in PENALTIES:
        classifier = problem.fit(penalty, start=classifier)
        val = score(_scores(classifier, splits.val), splits.val.targets)
        if val > best.val:
            best, chosen = LinearScore(test=0, val=val, penalty=penalty), classifier
        progress(1)
    final = _problem(splits.train + splits.val, num_classes, device).fit(best.penalty, chosen)
    test = score(_scores(final, splits.test), splits.test.targets)
    return LinearScore(test, best.val, best.penalty)


def knn_score(splits: Splits, metric: str, num_classes: int, k: int) -> float:
    """Score, in percent, the vote of the nearest neighbours in train and validation."""
    bank = splits.train + splits.val
    present = (bank.targets.clamp_min(0) if bank.targets.ndim == 2 else
               F.one_hot(bank.targets, num_classes))
    votes = knn_votes(bank.features, present, splits.test.features, k)
    return METRICS[metric](votes, splits.test.targets)


def _problem(data: Features, num_classes: int, device: str | torch.device) -> LogisticRegression:
    return LogisticRegression(data.features.to(device), data.targets.to(device), num_classes)


def _scores(classifier: LinearClassifier, data: Features) -> torch.Tensor:
    return classifier.scores(data.features.to(classifier.weight.device)).cpu()
