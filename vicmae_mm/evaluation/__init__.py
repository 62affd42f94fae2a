"""Quality of frozen features: nearest neighbours and linear classifiers."""
from .eleven_point_map import ElevenPointMAP
from .encode import encode
from .knn import knn_accuracy, knn_predict, knn_votes
from .logistic_regression import LinearClassifier, LogisticRegression, linear_probe_accuracy

__all__ = [
    'ElevenPointMAP', 'LinearClassifier', 'LogisticRegression', 'encode', 'knn_accuracy',
    'knn_predict', 'knn_votes', 'linear_probe_accuracy'
]
