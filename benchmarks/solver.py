"""Time the logistic regression of linear_transfer.py against scikit-learn's.

    vicmae benchmark solver --classes 10
    vicmae benchmark solver --classes 500 --device cuda

The features are random but resemble those of a network: correlated, with an offset, and with
variances that fall as a power of their rank. Both solvers start at 0. Besides the time, compare
the loss reached (mean cross-entropy and penalty on the training set) and the test accuracy.
"""
import argparse
import time

import torch
from torch import Tensor

import vicmae_mm  # noqa: F401  (patches upstream faults)
from vicmae_mm.commands.options import positive, positive_number
from vicmae_mm.evaluation.logistic_regression import LinearClassifier, LogisticRegression


def draw(samples: int, features: int, classes: int) -> tuple[Tensor, Tensor]:
    """Features (N, C) and classes (N,)."""
    scales = 3 * torch.arange(1, features + 1)**-0.75
    mixing = torch.linalg.qr(torch.randn(features, features))[0]
    labels = torch.arange(samples) % classes
    # The fewer the classes, the closer their centres, so that no number of classes is trivial.
    centres = torch.randn(classes, features) * scales * (classes / 4000)**0.25
    drawn = centres[labels] + torch.randn(samples, features) * scales
    return drawn @ mixing.T + torch.randn(features), labels


def mean_loss(classifier: LinearClassifier, features: Tensor, labels: Tensor,
              penalty: float) -> float:
    """The objective per training sample, in float64."""
    total = sum(
        torch.nn.functional.cross_entropy(
            classifier.scores(part), answers, reduction='sum').item()
        for part, answers in zip(features.split(5000), labels.split(5000), strict=True))
    return (total + penalty / 2 * classifier.weight.square().sum().item()) / len(features)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument('--samples', type=positive, default=50000, help='default: %(default)s')
    parser.add_argument('--features', type=positive, default=768, help='default: %(default)s')
    parser.add_argument('--classes', type=positive, default=10, help='default: %(default)s')
    parser.add_argument('--penalty', type=positive_number, default=1.,
                        help='1 / C (default: %(default)s)')
    parser.add_argument('--max-iterations', type=positive, default=1000,
                        help="for scikit-learn's L-BFGS (default: %(default)s)")
    parser.add_argument('--device', default='cpu', help='for our solver (default: %(default)s)')


def run(args: argparse.Namespace) -> None:
    """Fit both and print one line for each."""
    torch.manual_seed(0)
    features, labels = draw(args.samples + args.samples // 5, args.features, args.classes)
    (train, test), (train_labels, test_labels) = (
        part.split([args.samples, len(part) - args.samples]) for part in (features, labels))

    def ours() -> LinearClassifier:
        problem = LogisticRegression(train.to(args.device), train_labels.to(args.device))
        fitted = problem.fit(args.penalty)
        return LinearClassifier(fitted.weight.cpu(), fitted.bias.cpu())

    def scikit_learn() -> LinearClassifier:
        from sklearn.linear_model import LogisticRegression as Reference
        fitted = Reference(C=1 / args.penalty, max_iter=args.max_iterations).fit(
            train.numpy(), train_labels.numpy())
        print(f'scikit-learn: {fitted.n_iter_[0]} iterations')
        return LinearClassifier(*(torch.from_numpy(part).double()
                                  for part in (fitted.coef_, fitted.intercept_)))

    for fit in (ours, scikit_learn):
        start = time.perf_counter()
        classifier = fit()
        seconds = time.perf_counter() - start
        accuracy = (classifier.scores(test).argmax(1) == test_labels).double().mean().item()
        loss = mean_loss(classifier, train, train_labels, args.penalty)
        print(f'{fit.__name__:>12}: {seconds:8.1f} s   loss {loss:.6f}   '
              f'accuracy {100 * accuracy:.2f} %', flush=True)
