"""Contrastive heads, whose ``loss`` takes un-normalised embeddings, and heads for recognizers."""
from .attentive_head import AttentiveHead
from .info_nce_head import InfoNCEHead
from .multi_view_tsn_head import MultiViewTSNHead
from .simsiam_head import SimSiamHead
from .vicreg_head import VICRegHead

__all__ = ['AttentiveHead', 'InfoNCEHead', 'MultiViewTSNHead', 'SimSiamHead', 'VICRegHead']
