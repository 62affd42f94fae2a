"""Parts that several models share."""
from .gather import gather_with_grad
from .mixup_cutmix import MixupCutmix
from .monitors import embedding_rank, embedding_std, pair_accuracy
from .precision import at_least_fp32
from .sync_bn import SyncBN1d

__all__ = [
    'MixupCutmix',
    'SyncBN1d',
    'at_least_fp32',
    'embedding_rank',
    'embedding_std',
    'gather_with_grad',
    'pair_accuracy'
]
