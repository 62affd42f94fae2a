"""L2-regularised logistic regression on frozen features, on CPU or GPU.

    minimise over W, b    sum_i loss(W x_i + b, y_i) + penalty / 2 * |W|^2

It is scikit-learn's objective with C = 1 / penalty: losses are summed, the bias is free. What
differs is the speed. The features of a network are correlated and of very different scales, and
L-BFGS takes over a thousand iterations on them. Here it works in the coordinates in which the
Hessian at W = 0, which is XᵀX / K + penalty, is the identity: X is centred (the bias takes it up)
and turned into the eigenbasis of XᵀX (which leaves |W| as it is), and each coordinate is scaled.
The objective is the same at every point, the minimum too; tens of iterations reach it.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vicmae_mm.utils.errors import InputError

IGNORE = -1  # a target of one-vs-rest that is neither present nor absent


@dataclass(frozen=True)
class LinearClassifier:
    """Scores are ``features @ weight.T + bias``.

    Args:
        weight: (K, C).
        bias: (K,).
    """

    weight: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Score of each class for features (N, C), as logits (N, K)."""
        return F.linear(features.to(self.weight), self.weight, self.bias)


class LogisticRegression:
    """One training set, to be fitted with many penalties.

    With targets (N,) the loss is the cross-entropy of a softmax over the classes, also if there
    are two (scikit-learn takes one sigmoid then, whose penalty is half of this one). With
    targets (N, K) each class is told from the rest by a sigmoid of its own.

    Args:
        features: (N, C).
        targets: Classes from 0 (N,), or for each class 1 where present, 0 where absent and
            -1 where it shall not count (N, K).
        num_classes: K of targets (N,); by default one more than the highest.
        dtype: Of the computation. The gradients of float32 are good for four digits of the
            loss's optimum and more; see ``tests/evaluation/test_logistic_regression.py``.

    Raises:
        ValueError: If features and targets are not of one length, there are none, or a feature
            is not finite.
    """

    def __init__(self,
                 features: Tensor,
                 targets: Tensor,
                 num_classes: int | None = None,
                 dtype: torch.dtype = torch.float32) -> None:
        if len(features) != len(targets) or len(features) == 0:
            raise InputError(f'There are {len(features)} features and {len(targets)} targets: '
                             'one of each is wanted for every sample.')
        if not features.isfinite().all():
            raise InputError('Some features are infinite or not a number: the encoder that '
                             'computed them is broken.')
        if targets.ndim == 1:
            self.num_classes = num_classes or int(targets.max()) + 1
            self.targets = targets.long()
        else:
            self.num_classes = targets.shape[1]
            self.targets = targets
        features = features.double()
        self.mean = features.mean(0)
        features = features - self.mean
        curvature, self.basis = torch.linalg.eigh(features.T @ features)
        self.curvature = curvature.clamp_min(0)  # rounding can take it below
        self.features = (features @ self.basis).to(dtype)

    def fit(self,
            penalty: float,
            start: LinearClassifier | None = None,
            max_iterations: int = 1000,
            tolerance: float = 1e-5) -> LinearClassifier:
        """Minimise the objective.

        Args:
            penalty: On the squared weights; above 0.
            start: Where to begin, such as the result for a similar penalty; by default at 0.
            max_iterations: Bound on the iterations of L-BFGS.
            tolerance: End when no element of the gradient of the mean loss, in the scaled
                coordinates, is larger, or the loss changes by less than its square.

        Returns:
            The classifier, in the coordinates of the features given, in float64.

        Raises:
            ValueError: If the penalty is not above 0.
        """
        if penalty <= 0:
            raise InputError(f'penalty={penalty} should be above 0: without one the weights grow '
                             'without bound where classes can be told apart.')
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
        # a sum in float32 hides what the last iterations gain
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
