"""Models, importable as ``vicmae_mm.models`` and buildable by config."""
from .backbones import ViCMAEViT
from .heads import InfoNCEHead, SimSiamHead, VICRegHead
from .necks import MAEDecoder, Projector, TokenPooling
from .utils import SyncBN1d
from .vicmae import ViCMAE

__all__ = [
    'InfoNCEHead',
    'MAEDecoder',
    'Projector',
    'SimSiamHead',
    'SyncBN1d',
    'TokenPooling',
    'VICRegHead',
    'ViCMAE',
    'ViCMAEViT'
]
