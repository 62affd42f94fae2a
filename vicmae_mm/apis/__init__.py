"""The functions to call from a notebook."""
from vicmae_mm.checkpoints.find_config import find_config
from vicmae_mm.checkpoints.weight_files import read_weights

from .features import extract_features, extract_features_over_time
from .load_backbone import load_backbone
from .load_model import load_model
from .map_features import map_features
from .pretrain import pretrain
from .reconstruct import reconstruction_picture

__all__ = [
    'extract_features', 'extract_features_over_time', 'find_config', 'load_backbone',
    'load_model', 'map_features', 'pretrain', 'read_weights', 'reconstruction_picture'
]
