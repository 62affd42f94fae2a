"""Table 3: frozen features on twelve image datasets."""
from vicmae_mm.evaluation.protocol import PENALTIES, knn_score, linear_score

from .command import Method, add_transfer_options, measure_all

__all__ = [
    'PENALTIES', 'Method', 'add_transfer_options', 'knn_score', 'linear_score', 'measure_all'
]
