"""Models, importable as ``vicmae_mm.models`` and buildable by config."""
from .augmented_preprocessor import AugmentedPairPreprocessor
from .backbones import ViCMAEViT, VideoViT
from .encoder import Encoder
from .heads import InfoNCEHead, MultiViewTSNHead, SimSiamHead, VICRegHead
from .necks import FeatureNorm, MAEDecoder, Projector, TokenPooling
from .pair_preprocessor import PairDataPreprocessor
from .utils import MixupCutmix, SyncBN1d
from .vicmae import ViCMAE
from .views_preprocessor import ViewsDataPreprocessor

__all__ = [
    'AugmentedPairPreprocessor',
    'Encoder',
    'FeatureNorm',
    'InfoNCEHead',
    'MAEDecoder',
    'MixupCutmix',
    'MultiViewTSNHead',
    'PairDataPreprocessor',
    'Projector',
    'SimSiamHead',
    'SyncBN1d',
    'TokenPooling',
    'VICRegHead',
    'ViCMAE',
    'ViCMAEViT',
    'VideoViT',
    'ViewsDataPreprocessor'
]
