"""Pictures of a pre-training run: reconstructions and curves."""
from .curves import find_scalars, plot_curves
from .grid import draw_grid
from .reconstruction import Reconstruction, draw_reconstruction, reconstruct

__all__ = [
    'Reconstruction', 'draw_grid', 'draw_reconstruction', 'find_scalars', 'plot_curves',
    'reconstruct'
]
