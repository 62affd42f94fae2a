"""Table 3: frozen features on twelve image datasets."""
from .command import Method, add_transfer_options, measure_all
from .protocol import PENALTIES, knn_score, linear_score

__all__ = [
    'PENALTIES', 'Method', 'add_transfer_options', 'knn_score', 'linear_score', 'measure_all'
]
