"""What a notebook calls."""
from .config_search import find_config
from .load import load_model, read_weights
from .reconstruct import reconstruction_picture

__all__ = ['find_config', 'load_model', 'read_weights', 'reconstruction_picture']
