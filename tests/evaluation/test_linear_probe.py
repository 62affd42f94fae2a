"""The linear probe against scikit-learn's pipeline, and on features with a known answer."""
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vicmae_mm.evaluation import linear_probe_accuracy, logistic_regression

from .helpers import noise, separable


@pytest.fixture(scope='module')
def digits():
    """8 x 8 pixels, some of them constant, with an offset; 600 images to train on."""
    data = load_digits()
    features, labels = torch.from_numpy(data.data + 3).float(), torch.from_numpy(data.target)
    return features[:600], labels[:600], features[600:], labels[600:]


@pytest.mark.parametrize('penalty', [10., 100.])
def test_minimum_is_that_of_scikit_learns_pipeline(digits, monkeypatch, penalty):
    found = []

    class Converged(logistic_regression.LogisticRegression):
        def fit(self, penalty):
            found.append(super().fit(penalty, tolerance=1e-7))
            return found[-1]

    monkeypatch.setattr(logistic_regression, 'LogisticRegression', Converged)
    accuracy = linear_probe_accuracy(*digits, penalty)
    train, labels, test, test_labels = (part.double().numpy() for part in digits)
    reference = make_pipeline(
        StandardScaler(), Reference(C=1 / penalty, max_iter=10000, tol=1e-9)).fit(train, labels)
    assert accuracy == reference.score(test, test_labels)
    scaler, fitted = reference
    assert (scaler.var_ == 0).any(), 'constant features are part of the comparison'
    # scikit-learn centres the features and scales them; we only scale them
    weight = found[0].weight.numpy()
    bias = found[0].bias.numpy() + weight @ (scaler.mean_ / scaler.scale_)
    # Both solvers stop short of the minimum, by up to 2e-6 in a weight and 3e-5 in a bias. A mean
    # instead of the sum of losses, or a penalty off by a factor of 2, moves weights by over 1e-2.
    assert weight == pytest.approx(fitted.coef_, abs=1e-5)
    # The softmax leaves a constant for all classes open.
    assert bias - bias.mean() == pytest.approx(
        fitted.intercept_ - fitted.intercept_.mean(), abs=1e-4)
    assert np.abs(fitted.coef_).max() > 0.1


def test_accuracy_is_that_of_scikit_learns_pipeline_in_single_precision(digits):
    """As the quickstart once measured: C=0.1, float32, scikit-learn's default tolerance."""
    train, labels, test, test_labels = (part.numpy() for part in digits)
    reference = make_pipeline(StandardScaler(), Reference(C=0.1, max_iter=1000)).fit(train, labels)
    # Neither is exactly at the minimum, which may decide a few of the 1,197 images.
    assert linear_probe_accuracy(*digits) == pytest.approx(
        reference.score(test, test_labels), abs=3 / len(test))


def test_separable_data_is_classified_perfectly():
    assert linear_probe_accuracy(*separable()) == 1


def test_the_scale_of_a_feature_does_not_matter():
    train, labels, test, test_labels = separable()
    small = 1e-4
    assert linear_probe_accuracy(train * small, labels, test * small, test_labels) == 1


def test_noise_is_classified_by_chance():
    assert linear_probe_accuracy(*noise()) == pytest.approx(0.1, abs=0.05)
