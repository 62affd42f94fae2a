"""Pictures of a pre-training run: reconstructions, features and curves."""
from .curves import find_scalars, plot_curves
from .feature_maps import MAPS, MappedFile, draw_feature_maps
from .grid import draw_grid
from .picture_files import check_picture, write_picture
from .reconstruction import Reconstruction, draw_reconstruction, reconstruct

__all__ = [
    'MAPS', 'MappedFile', 'Reconstruction', 'check_picture', 'draw_feature_maps', 'draw_grid',
    'draw_reconstruction', 'find_scalars', 'plot_curves', 'reconstruct', 'write_picture'
]
