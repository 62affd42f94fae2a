"""Datasets, samplers and transforms."""
from vicmae_mm.datasets.bad_videos.limit import TooManyBadVideosError

from .birdsnap import Birdsnap
from .labelled_images import LabelledImages
from .packed import PackedFrameDataset
from .samplers import EpochSampler, SampleIndex
from .seeded_samples import SeededSamples
from .transforms import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    PackFrames,
    PackViews,
    PerClip,
    PerFrame,
    RepeatAug,
    SampleClipPair,
    SampleFramePair,
    VideoDecode,
    VideoInit,
)
from .video_pairs import VideoPairDataset

__all__ = [
    'Birdsnap', 'ColorJitter', 'EpochSampler', 'GaussianBlur', 'Grayscale', 'LabelledImages',
    'PackFrames', 'PackViews', 'PackedFrameDataset', 'PerClip', 'PerFrame', 'RepeatAug',
    'SampleClipPair', 'SampleFramePair', 'SampleIndex', 'SeededSamples', 'TooManyBadVideosError',
    'VideoDecode', 'VideoInit', 'VideoPairDataset'
]
