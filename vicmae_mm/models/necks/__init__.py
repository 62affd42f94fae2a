"""From the encoder's tokens to an embedding."""
from .mae_decoder import MAEDecoder
from .projector import Projector
from .token_pooling import TokenPooling

__all__ = ['MAEDecoder', 'Projector', 'TokenPooling']
