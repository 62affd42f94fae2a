"""How good frozen features are: nearest neighbours and linear classifiers."""
from .eleven_point_map import ElevenPointMAP
from .encode import encode
from .knn import knn_accuracy, knn_predict, knn_votes
from .linear_probe import linear_probe_accuracy
from .logistic_regression import LinearClassifier, LogisticRegression

__all__ = [
    'ElevenPointMAP', 'LinearClassifier', 'LogisticRegression', 'encode', 'knn_accuracy',
    'knn_predict', 'knn_votes', 'linear_probe_accuracy'
]
