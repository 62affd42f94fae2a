"""Pictures of a pre-training run: reconstructions, features and curves."""
from .curves import find_scalars, plot_curves
from .feature_maps import MAPS, MappedFile, draw_feature_maps
from .grid import draw_grid
from .reconstruction import Reconstruction, draw_reconstruction, reconstruct

__all__ = [
    'MAPS', 'MappedFile', 'Reconstruction', 'draw_feature_maps', 'draw_grid',
    'draw_reconstruction', 'find_scalars', 'plot_curves', 'reconstruct'
]
