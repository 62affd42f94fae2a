"""Datasets, samplers and transforms."""
from vicmae_mm.datasets.bad_videos.limit import TooManyBadVideosError

from . import transforms
from .birdsnap import Birdsnap
from .image_pairs import ImagePairDataset
from .labelled_images import LabelledImages
from .mixed_pairs import MixedPairs
from .packed import PackedFrameDataset
from .samplers import EpochSampler, SampleIndex
from .seeded_samples import SeededSamples
from .transforms import *  # noqa: F403  (what its __all__ names)
from .video_pairs import VideoPairDataset

__all__ = [
    'Birdsnap', 'EpochSampler', 'ImagePairDataset', 'LabelledImages', 'MixedPairs',
    'PackedFrameDataset', 'SampleIndex', 'SeededSamples', 'TooManyBadVideosError',
    'VideoPairDataset', *transforms.__all__
]
