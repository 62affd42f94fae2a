"""L2-regularised logistic regression on frozen features, on CPU or GPU.

    minimise over W, b    sum_i loss(W x_i + b, y_i) + penalty / 2 * |W|^2

This is scikit-learn's objective with C = 1 / penalty: losses are summed, the bias is not penalised.
The speed differs. A network's features are correlated and of very different scales, and L-BFGS
takes over a thousand iterations on them. Here it runs in coordinates in which the Hessian at
W = 0, XᵀX / K + penalty, is the identity: X is centred (the bias absorbs the mean), rotated into
the eigenbasis of XᵀX (|W| does not change), and each coordinate is scaled. The objective has the
same value at every point, so the minimum is the same; L-BFGS reaches it in tens of iterations.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vicmae_mm.utils.errors import InputError

IGNORE = -1  # a one-vs-rest target that does not count for its class


@dataclass(frozen=True)
class LinearClassifier:
    """Scores are ``features @ weight.T + bias``; weight (K, C), bias (K,)."""

    weight: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Score of each class for features (N, C), as logits (N, K)."""
        return F.linear(features.to(self.weight), self.weight, self.bias)


class LogisticRegression:
    """A training set, to fit with any number of penalties.

    With targets (N,) the loss is the cross-entropy of a softmax over the classes, even for two
    (scikit-learn then fits one sigmoid; its C is 2 / penalty). With targets (N, K) the loss is
    one sigmoid per class against the rest.

    Args:
        features: (N, C).
        targets: Classes from 0 (N,), or per class 1 where present, 0 where absent and -1 to
            ignore (N, K).
        num_classes: K of targets (N,); by default one more than the highest.
        dtype: Of the computation. float32 finds the minimal loss to four digits or more; see
            ``tests/evaluation/test_logistic_regression.py``.

    Raises:
        ValueError: If features and targets differ in length or are empty, or a feature is not
            finite.
    """

    def __init__(self, features: Tensor, targets: Tensor, num_classes: int | None = None,
                 dtype: torch.dtype = torch.float32) -> None:
        if len(features) != len(targets) or len(features) == 0:
            raise InputError(f'There are {len(features)} features and {len(targets)} targets: '
                             'expected one of each per sample, and at least one sample.')
        if not features.isfinite().all():
            raise InputError('Some features are infinite or not a number: the encoder that '
                             'computed them is broken.')
        if targets.ndim == 1:
            self.num_classes = num_classes or int(targets.max()) + 1
            self.targets = targets.long()
        else:
            self.num_classes = targets.shape[1]
            self.targets = targets
        # float64: the eigenvalues of a network's features span many orders of magnitude.
        features = features.double()
        self.mean = features.mean(0)
        features = features - self.mean
        curvature, self.basis = torch.linalg.eigh(features.T @ features)
        self.curvature = curvature.clamp_min(0)  # rounding can make it negative
        self.features = (features @ self.basis).to(dtype)

    def fit(self, penalty: float, start: LinearClassifier | None = None,
            max_iterations: int = 1000, tolerance: float = 1e-5) -> LinearClassifier:
        """Minimise the objective.

        Args:
            penalty: On the squared weights; must be above 0.
            start: Where to begin, such as the result for a similar penalty; by default at 0.
            max_iterations: Limit on L-BFGS iterations.
            tolerance: Stop when no element of the gradient of the mean loss, in the scaled
                coordinates, is larger, or the loss changes by less than its square.

        Returns:
            The classifier for features as passed to the constructor, in float64.
        """
        if penalty <= 0:
            raise InputError(f'penalty={penalty} should be above 0: otherwise the weights of '
                             'separable classes grow without bound.')
        count = len(self.features)
        scale = ((self.curvature / self.num_classes + penalty) / count).rsqrt()
        flat = self._flatten(start, scale).requires_grad_()
        scale = scale.to(flat)
        optimizer = torch.optim.LBFGS(
            [flat], max_iter=max_iterations, max_eval=2 * max_iterations,
            tolerance_grad=tolerance, tolerance_change=tolerance**2, history_size=10,
            line_search_fn='strong_wolfe')

        def objective() -> float:
            optimizer.zero_grad()
            parameters = flat.view(self.num_classes, -1)
            weight = parameters[:, 1:] * scale
            loss = self._loss(F.linear(self.features, weight, parameters[:, 0]))
            mean = (loss + penalty / 2 * weight.square().sum(dtype=torch.float64)) / count
            mean.backward()
            return mean.item()

        optimizer.step(objective)
        return self._unflatten(flat.detach(), scale)

    def _loss(self, scores: Tensor) -> Tensor:
        if self.targets.ndim == 1:
            losses = F.cross_entropy(scores, self.targets, reduction='none')
        else:
            counts = self.targets != IGNORE
            losses = F.binary_cross_entropy_with_logits(
                scores, self.targets.to(scores), counts.to(scores), reduction='none')
        # A float32 sum stops changing long before the minimum, and L-BFGS would stop with it:
        # at penalty 1e5, 1 % of the predicted classes differed from those of float64.
        return losses.sum(dtype=torch.float64)

    def _flatten(self, classifier: LinearClassifier | None, scale: Tensor) -> Tensor:
        """Bias and weights (K * (1 + C),) in the coordinates of the optimisation."""
        if classifier is None:
            return self.features.new_zeros(self.num_classes * (1 + len(self.mean)))
        weight = classifier.weight @ self.basis / scale
        bias = classifier.bias + classifier.weight @ self.mean
        return torch.cat([bias[:, None], weight], dim=1).flatten().to(self.features)

    def _unflatten(self, flat: Tensor, scale: Tensor) -> LinearClassifier:
        parameters = flat.view(self.num_classes, -1).double()
        weight = parameters[:, 1:] * scale @ self.basis.T
        return LinearClassifier(weight, parameters[:, 0] - weight @ self.mean)


def linear_probe_accuracy(train_features: Tensor, train_labels: Tensor, features: Tensor,
                          labels: Tensor, penalty: float = 10.) -> float:
    """Share (0 to 1) of samples (N, C) that a fit to standardised features classifies correctly.

    For three or more classes this is scikit-learn's ``StandardScaler`` and
    ``LogisticRegression`` with ``C = 1 / penalty``.
    """
    train_features = train_features.double()
    std, mean = torch.std_mean(train_features, 0, correction=0)
    # The deviation of a constant feature is rounding error, which division would amplify.
    rounding = len(train_features) * torch.finfo(std.dtype).eps * mean.abs()
    std = std.where(std > rounding, 1)
    # The mean stays: centring does not change the minimum, because the bias is free.
    probe = LogisticRegression(train_features / std, train_labels, dtype=std.dtype).fit(penalty)
    return (probe.scores(features / std).argmax(1) == labels).double().mean().item()
