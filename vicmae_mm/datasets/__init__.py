"""Datasets, samplers and transforms."""
from vicmae_mm.datasets.bad_videos.limit import TooManyBadVideosError

from .birdsnap import Birdsnap
from .image_pairs import ImagePairDataset
from .labelled_images import LabelledImages
from .mixed_pairs import MixedPairs
from .packed import PackedFrameDataset
from .samplers import EpochSampler, SampleIndex
from .seeded_samples import SeededSamples
from .transforms import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    LoadImagePair,
    PackFrames,
    PackViews,
    PerClip,
    PerFrame,
    RandomCropFlip,
    RepeatAug,
    SampleClipPair,
    SampleFramePair,
    Solarize,
    VideoDecode,
    VideoInit,
)
from .video_pairs import VideoPairDataset

__all__ = [
    'Birdsnap', 'ColorJitter', 'EpochSampler', 'GaussianBlur', 'Grayscale', 'ImagePairDataset',
    'LabelledImages', 'LoadImagePair', 'MixedPairs', 'PackFrames', 'PackViews',
    'PackedFrameDataset', 'PerClip', 'PerFrame', 'RandomCropFlip', 'RepeatAug', 'SampleClipPair',
    'SampleFramePair', 'SampleIndex', 'SeededSamples', 'Solarize', 'TooManyBadVideosError',
    'VideoDecode', 'VideoInit', 'VideoPairDataset'
]
