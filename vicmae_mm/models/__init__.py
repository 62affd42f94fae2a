"""Models, importable as ``vicmae_mm.models`` and buildable from a config."""
from .backbones import RegisterViT, ViCMAEViT, VideoViT
from .encoder import Encoder
from .heads import AttentiveHead, InfoNCEHead, MultiViewTSNHead, SimSiamHead, VICRegHead
from .layers import SyncBN1d
from .necks import (
    AttentivePooling,
    FeatureNorm,
    MAEDecoder,
    PathwayPooling,
    Projector,
    TokenPooling,
)
from .preprocessors import (
    AugmentedPairPreprocessor,
    MixupCutmix,
    PairDataPreprocessor,
    ViewsDataPreprocessor,
)
from .vicmae import ViCMAE

__all__ = [
    'AttentiveHead', 'AttentivePooling', 'AugmentedPairPreprocessor', 'Encoder', 'FeatureNorm',
    'InfoNCEHead', 'MAEDecoder', 'MixupCutmix', 'MultiViewTSNHead', 'PairDataPreprocessor',
    'PathwayPooling', 'Projector', 'RegisterViT', 'SimSiamHead', 'SyncBN1d', 'TokenPooling',
    'VICRegHead', 'ViCMAE', 'ViCMAEViT', 'VideoViT', 'ViewsDataPreprocessor'
]
