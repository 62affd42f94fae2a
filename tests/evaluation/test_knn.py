"""Classification by nearest neighbours."""
import math

import pytest
import torch
from torch.nn import functional as F

from vicmae_mm.evaluation import knn_accuracy, knn_predict

from .helpers import noise, separable


def brute_force(train, labels, features, k, temperature):
    """The vote of each sample, in plain loops."""
    predictions = []
    for sample in features:
        cosines = [F.cosine_similarity(sample, other, dim=0).item() for other in train]
        nearest = sorted(range(len(train)), key=lambda i: -cosines[i])[:k]
        votes = [0.0] * (int(labels.max()) + 1)
        for i in nearest:
            votes[labels[i]] += math.exp(cosines[i] / temperature)
        predictions.append(max(range(len(votes)), key=votes.__getitem__))
    return torch.tensor(predictions)


@pytest.mark.parametrize('k, temperature', [(1, 0.07), (7, 0.07), (20, 1.0)])
def test_equals_a_vote_in_plain_loops(k, temperature):
    train, labels, features = torch.randn(40, 6), torch.randint(4, (40, )), torch.randn(25, 6)
    expected = brute_force(train, labels, features, k, temperature)
    assert len(expected.unique()) > 1
    assert knn_predict(train, labels, features, k, temperature, batch_size=10).equal(expected)


def test_similarity_and_not_number_decides():
    train = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    labels = torch.tensor([0, 1, 1])
    sample = torch.tensor([[3.0, 1.0]])
    assert knn_predict(train, labels, sample, k=3).tolist() == [0]
    assert knn_predict(train, labels, sample, k=3, temperature=100.0).tolist() == [1]


def test_separable_data_is_classified_perfectly_and_noise_by_chance():
    assert knn_accuracy(*separable()) == 1
    assert knn_accuracy(*noise()) == pytest.approx(0.1, abs=0.05)


def test_refuses_labels_of_another_length_and_no_neighbours():
    features, labels = torch.randn(4, 2), torch.tensor([0, 1, 0])
    with pytest.raises(ValueError, match='4 features but 3'):
        knn_predict(features, labels, features)
    with pytest.raises(ValueError, match='k=0'):
        knn_predict(features[:3], labels, features, k=0)
