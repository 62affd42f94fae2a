"""Data preprocessors: move batches to the device, augment and normalise them."""
from .augmented_preprocessor import AugmentedPairPreprocessor
from .mixup_cutmix import MixupCutmix
from .pair_preprocessor import PairDataPreprocessor
from .views_preprocessor import ViewsDataPreprocessor

__all__ = [
    'AugmentedPairPreprocessor', 'MixupCutmix', 'PairDataPreprocessor', 'ViewsDataPreprocessor'
]
