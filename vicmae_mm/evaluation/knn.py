"""Classification by the nearest neighbours among frozen features."""
import torch
from torch import Tensor
from torch.nn import functional as F

from vicmae_mm.utils.errors import InputError


def knn_votes(train_features: Tensor, train_targets: Tensor, features: Tensor, k: int = 20,
              temperature: float = 0.07, batch_size: int = 1024) -> Tensor:
    """Let the k most similar training samples vote, each with weight exp(cosine / temperature).

    The weighted vote of Wu et al. (arXiv 1805.01978), with DINO's k and temperature.

    Args:
        train_features: (M, C).
        train_targets: Presence, 0 or 1, of each class (M, K).
        features: Samples to classify (N, C).
        k: Number of neighbours; all M if there are fewer.
        temperature: Higher is closer to an unweighted vote.
        batch_size: Samples compared at a time, which bounds the memory.

    Returns:
        Votes (N, K); those of all neighbours sum to 1.

    Raises:
        ValueError: If features and targets differ in length, or k is below 1.
    """
    if len(train_features) != len(train_targets):
        raise InputError(f'There are {len(train_features)} features but {len(train_targets)} '
                         'labels: every training sample needs one.')
    if k < 1:
        raise InputError(f'k={k} should be at least 1: the number of neighbours that vote.')
    k = min(k, len(train_features))
    present = train_targets.to(train_features.dtype)
    bank = F.normalize(train_features, dim=1)
    votes = []
    for batch in F.normalize(features, dim=1).split(batch_size):
        similarity, neighbours = (batch @ bank.T).topk(k, dim=1)
        # Softmax, not exp: the votes are the same up to a factor, and cannot overflow.
        weights = (similarity / temperature).softmax(dim=1)
        votes.append((weights[..., None] * present[neighbours]).sum(1))
    return torch.cat(votes)


def partner_ranks(first: Tensor, second: Tensor) -> Tensor:
    """Rank (N,), from 1, of each one's partner among all second ones (N, C), by cosine similarity.

    Others that are as similar rank first: if all features are equal, or none is finite, all are N.
    """
    similarity = F.normalize(first.double(), dim=1) @ F.normalize(second.double(), dim=1).T
    return (~(similarity < similarity.diagonal()[:, None])).sum(1)


def knn_predict(train_features: Tensor, train_labels: Tensor, features: Tensor, k: int = 20,
                temperature: float = 0.07, batch_size: int = 1024) -> Tensor:
    """Class (N,) with most of :func:`knn_votes`, for training labels from 0 (M,)."""
    present = F.one_hot(train_labels.long())
    return knn_votes(train_features, present, features, k, temperature, batch_size).argmax(1)


def knn_accuracy(train_features: Tensor, train_labels: Tensor, features: Tensor, labels: Tensor,
                 k: int = 20, temperature: float = 0.07) -> float:
    """Share (0 to 1) of samples (N, C) that :func:`knn_predict` classifies correctly."""
    predicted = knn_predict(train_features, train_labels, features, k, temperature)
    return (predicted == labels).float().mean().item()
