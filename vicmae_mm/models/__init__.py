"""Models, importable as ``vicmae_mm.models`` and buildable by config."""
from vicmae_mm.models.preprocessors.augmented_preprocessor import AugmentedPairPreprocessor
from vicmae_mm.models.preprocessors.pair_preprocessor import PairDataPreprocessor
from vicmae_mm.models.preprocessors.views_preprocessor import ViewsDataPreprocessor

from .backbones import ViCMAEViT, VideoViT
from .encoder import Encoder
from .heads import InfoNCEHead, MultiViewTSNHead, SimSiamHead, VICRegHead
from .layers import SyncBN1d
from .necks import FeatureNorm, MAEDecoder, Projector, TokenPooling
from .preprocessors import MixupCutmix
from .vicmae import ViCMAE

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
