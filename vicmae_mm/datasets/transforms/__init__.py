"""Transforms of video samples."""
from .decoding import VideoDecode, VideoInit
from .frame_pair import SampleFramePair
from .per_frame import PerFrame
from .photometric import ColorJitter, GaussianBlur, Grayscale
from .repeat_aug import RepeatAug
from .views import DistinctFrames, PackViews

__all__ = [
    'ColorJitter', 'DistinctFrames', 'GaussianBlur', 'Grayscale', 'PackViews', 'PerFrame',
    'RepeatAug', 'SampleFramePair', 'VideoDecode', 'VideoInit'
]
