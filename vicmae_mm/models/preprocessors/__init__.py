"""Data preprocessors: batches to the device, normalised and augmented."""
from .augmented_preprocessor import AugmentedPairPreprocessor
from .mixup_cutmix import MixupCutmix
from .pair_preprocessor import PairDataPreprocessor
from .views_preprocessor import ViewsDataPreprocessor

__all__ = [
    'AugmentedPairPreprocessor', 'MixupCutmix', 'PairDataPreprocessor', 'ViewsDataPreprocessor'
]
