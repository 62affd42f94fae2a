"""Contrastive heads, whose ``loss`` takes un-normalised embeddings, and a TSN head."""
from .info_nce_head import InfoNCEHead
from .multi_view_tsn_head import MultiViewTSNHead
from .simsiam_head import SimSiamHead
from .vicreg_head import VICRegHead

__all__ = ['InfoNCEHead', 'MultiViewTSNHead', 'SimSiamHead', 'VICRegHead']
