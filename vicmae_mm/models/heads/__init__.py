"""Contrastive heads: ``loss(online, target, videos=None)`` on un-normalised embeddings."""
from .info_nce_head import InfoNCEHead
from .simsiam_head import SimSiamHead
from .vicreg_head import VICRegHead

__all__ = ['InfoNCEHead', 'SimSiamHead', 'VICRegHead']
