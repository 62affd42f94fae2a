"""Logistic regression against scikit-learn, closed forms and the gradient of its objective."""
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression as Reference

from vicmae_mm.evaluation.logistic_regression import LinearClassifier, LogisticRegression


@pytest.fixture(scope='module')
def digits():
    """Real features: 8 x 8 pixels, many of them correlated, some constant; 600 to train on."""
    data = load_digits()
    features, labels = torch.from_numpy(data.data / 16).float(), torch.from_numpy(data.target)
    return features[:600], labels[:600], features[600:], labels[600:]


def correlated(samples=600, width=40, classes=4):
    """Features whose scales span four orders of magnitude, mixed and off the origin."""
    mixing = torch.linalg.qr(torch.randn(width, width))[0] * 10.**-torch.linspace(0, 4, width)
    labels = torch.arange(samples) % classes
    drawn = torch.randn(classes, width)[labels] + torch.randn(samples, width)
    return drawn @ mixing.T * 10 + 100, labels


def objective(classifier, features, labels, penalty):
    """Straight from the docstring, in float64."""
    scores = features.double() @ classifier.weight.T + classifier.bias
    loss = torch.logsumexp(scores, 1) - scores.gather(1, labels[:, None])[:, 0]
    return loss.sum() + penalty / 2 * classifier.weight.square().sum()


@pytest.mark.parametrize('penalty', [1e2, 1., 1e-2])
def test_accuracy_is_scikit_learns(digits, penalty):
    features, labels, test, test_labels = digits
    reference = Reference(C=1 / penalty, max_iter=10000, tol=1e-6).fit(
        features.double().numpy(), labels.numpy())
    predicted = LogisticRegression(features, labels).fit(penalty).scores(test).argmax(1)
    expected = reference.score(test.double().numpy(), test_labels.numpy())
    assert abs((predicted == test_labels).double().mean().item() - expected) <= 1e-3
    assert 0.8 < expected < 0.98


def test_single_precision_finds_the_classes_of_double():
    # a strong penalty on classes that hardly differ: with the loss summed in float32, L-BFGS ends
    # early, and 1 % of the classes are others
    labels = torch.arange(20000) % 20
    features = torch.randn(20000, 16) * torch.logspace(0, -1, 16) + (
        0.02 * torch.randn(20, 16)[labels])
    single, double = (
        LogisticRegression(features, labels, dtype=dtype).fit(1e3, tolerance=tolerance)
        for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-9)))
    same = single.scores(features.double()).argmax(1) == double.scores(features.double()).argmax(1)
    assert same.double().mean() > 0.999


def test_weights_are_scikit_learns(digits):
    features, labels, _, _ = digits
    reference = Reference(C=0.1, max_iter=10000, tol=1e-9).fit(
        features.double().numpy(), labels.numpy())
    # the bias is free up to a constant for all classes; both leave it where they started, at 0
    for dtype, near in ((torch.float64, 1e-5), (torch.float32, 1e-3)):
        found = LogisticRegression(features, labels, dtype=dtype).fit(10., tolerance=1e-9)
        assert found.weight.numpy() == pytest.approx(reference.coef_, abs=near)


def test_gradient_vanishes_at_the_result():
    features, labels = correlated()
    found = LogisticRegression(features, labels, dtype=torch.float64).fit(0.1, tolerance=1e-10)
    weight, bias = found.weight.requires_grad_(), found.bias.requires_grad_()
    scale = features.double().abs().sum()
    objective(found, features, labels, 0.1).backward()
    assert weight.grad.abs().max() / scale < 2e-8  # of the largest it could be
    assert bias.grad.abs().max() / len(features) < 1e-6


@pytest.mark.filterwarnings('ignore:lbfgs failed to converge')
def test_correlated_features_take_few_iterations():
    # At this point scikit-learn's L-BFGS, in the coordinates given, is far from the minimum
    features, labels = correlated()
    problem = LogisticRegression(features, labels)
    best = objective(problem.fit(1.), features, labels, 1.)
    quick = objective(problem.fit(1., max_iterations=40), features, labels, 1.)
    reference = Reference(C=1, max_iter=40).fit(features.double().numpy(), labels.numpy())
    slow = LinearClassifier(*map(torch.from_numpy, (reference.coef_, reference.intercept_)))
    assert quick / best < 1.01
    assert objective(slow, features, labels, 1.) / best > 1.05


def test_an_infinite_penalty_leaves_the_frequencies():
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    found = LogisticRegression(torch.randn(100, 5), labels).fit(1e9)
    assert found.weight.abs().max() < 1e-6
    assert found.bias.softmax(0).tolist() == pytest.approx([0.5, 0.3, 0.2], abs=1e-4)


def test_where_it_starts_does_not_matter(digits):
    features, labels, _, _ = digits
    problem = LogisticRegression(features, labels, dtype=torch.float64)
    cold = problem.fit(1., tolerance=1e-7)
    for penalty in (100., 0.01):
        warm = problem.fit(1., start=problem.fit(penalty), tolerance=1e-7)
        torch.testing.assert_close(warm.weight, cold.weight, atol=1e-4, rtol=0)
    # a start at the solution is recognised: nothing is left to do
    kept = problem.fit(1., start=cold, tolerance=1e-6, max_iterations=1)
    torch.testing.assert_close(kept.weight, cold.weight, atol=1e-10, rtol=0)


def test_one_against_the_rest_is_a_binary_fit_for_each_class(digits):
    features, labels, _, _ = digits
    targets = torch.nn.functional.one_hot(labels)[:, :3]
    targets[::7, 1] = -1
    found = LogisticRegression(features, targets, dtype=torch.float64).fit(10., tolerance=1e-9)
    for label in range(3):
        counted = (targets[:, label] >= 0).numpy()
        reference = Reference(C=0.1, max_iter=10000, tol=1e-9).fit(
            features.double().numpy()[counted], targets[:, label].numpy()[counted])
        assert found.weight[label].numpy() == pytest.approx(reference.coef_[0], abs=1e-4)
        assert found.bias[label].item() == pytest.approx(reference.intercept_[0], abs=1e-3)


def test_two_classes_take_half_of_scikit_learns_penalty():
    features, labels = correlated(classes=2)
    found = LogisticRegression(features, labels, dtype=torch.float64).fit(2., tolerance=1e-10)
    reference = Reference(C=1, max_iter=10000, tol=1e-9).fit(
        (features - features.mean(0)).double().numpy(), labels.numpy())
    difference = found.weight[1] - found.weight[0]
    assert difference.numpy() == pytest.approx(reference.coef_[0], abs=1e-3)


def test_a_class_without_a_sample_keeps_its_column():
    found = LogisticRegression(torch.randn(20, 3), torch.arange(20) % 2, num_classes=5).fit(1.)
    assert found.weight.shape == (5, 3) and found.bias[2:].max() < found.bias[:2].min()


def test_more_features_than_samples():
    features = torch.randn(30, 100)
    labels = torch.arange(30) % 3
    found = LogisticRegression(features, labels).fit(1e-3)
    assert (found.scores(features).argmax(1) == labels).all()
    assert np.isfinite(objective(found, features, labels, 1e-3).item())


def test_errors():
    features = torch.randn(4, 3)
    with pytest.raises(ValueError, match='4 features and 3 targets'):
        LogisticRegression(features, torch.arange(3))
    with pytest.raises(ValueError, match='not a number'):
        LogisticRegression(features / 0 * 0, torch.arange(4))
    with pytest.raises(ValueError, match='penalty=0 should be above 0'):
        LogisticRegression(features, torch.arange(4)).fit(0)
