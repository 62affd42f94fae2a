"""Datasets, samplers and transforms."""
from .bad_videos import TooManyBadVideosError
from .birdsnap import Birdsnap
from .labelled_images import LabelledImages
from .samplers import EpochSampler, SampleIndex
from .seeded_samples import SeededSamples
from .transforms import PerFrame, RepeatAug, SampleFramePair, VideoDecode, VideoInit
from .video_pairs import VideoPairDataset

__all__ = [
    'Birdsnap', 'EpochSampler', 'LabelledImages', 'PerFrame', 'RepeatAug', 'SampleFramePair',
    'SampleIndex', 'SeededSamples', 'TooManyBadVideosError', 'VideoDecode', 'VideoInit',
    'VideoPairDataset'
]
