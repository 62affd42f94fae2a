"""What a notebook calls."""
from .config_search import find_config
from .features import extract_features
from .load import load_model, read_weights
from .load_backbone import load_backbone
from .reconstruct import reconstruction_picture

__all__ = [
    'extract_features', 'find_config', 'load_backbone', 'load_model', 'read_weights',
    'reconstruction_picture'
]
