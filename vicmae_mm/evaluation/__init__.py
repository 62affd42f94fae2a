"""How good frozen features are: nearest neighbours and a linear probe."""
from .features import encode
from .knn import knn_accuracy, knn_predict
from .linear_probe import linear_probe_accuracy

__all__ = ['encode', 'knn_accuracy', 'knn_predict', 'linear_probe_accuracy']
