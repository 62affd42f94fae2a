"""What a notebook calls."""
from .config_search import find_config
from .load import load_model, read_weights
from .load_backbone import load_backbone
from .reconstruct import reconstruction_picture

__all__ = ['find_config', 'load_backbone', 'load_model', 'read_weights', 'reconstruction_picture']
