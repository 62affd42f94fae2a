"""A linear classifier on frozen features."""
from torch import Tensor


def linear_probe_accuracy(train_features: Tensor,
                          train_labels: Tensor,
                          features: Tensor,
                          labels: Tensor,
                          inverse_decay: float = 0.1,
                          max_iterations: int = 1000) -> float:
    """Fit multinomial logistic regression to standardised features and score it.

    Args:
        train_features: (M, C).
        train_labels: Integer classes (M,), of at least two kinds.
        features: Samples to classify (N, C).
        labels: Their classes (N,).
        inverse_decay: scikit-learn's ``C``: the smaller, the stronger the L2 penalty.
        max_iterations: Bound on the iterations of L-BFGS.

    Returns:
        Share (0 to 1) of samples classified rightly.

    Raises:
        ImportError: If scikit-learn is missing.
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise ImportError(
            'The linear probe needs scikit-learn: pip install scikit-learn') from error
    probe = make_pipeline(
        StandardScaler(), LogisticRegression(C=inverse_decay, max_iter=max_iterations))
    probe.fit(train_features.numpy(), train_labels.numpy())
    return float(probe.score(features.numpy(), labels.numpy()))
