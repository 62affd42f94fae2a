"""Necks: from the encoder's tokens to pixels, embeddings and normalised features."""
from .attentive_pooling import AttentivePooling
from .feature_norm import FeatureNorm
from .mae_decoder import MAEDecoder
from .pathway_pooling import PathwayPooling
from .projector import Projector
from .token_pooling import TokenPooling

__all__ = [
    'AttentivePooling', 'FeatureNorm', 'MAEDecoder', 'PathwayPooling', 'Projector', 'TokenPooling'
]
