"""Transforms of video samples."""
from .clip_pair import SampleClipPair
from .decoding import LoadImagePair, VideoDecode, VideoInit
from .frame_pair import SampleFramePair
from .packing import PackFrames, PackViews
from .per_frame import PerClip, PerFrame
from .photometric import ColorJitter, GaussianBlur, Grayscale, Solarize
from .random_crop_flip import RandomCropFlip
from .repeat_aug import RepeatAug

__all__ = [
    'ColorJitter', 'GaussianBlur', 'Grayscale', 'LoadImagePair', 'PackFrames', 'PackViews',
    'PerClip', 'PerFrame', 'RandomCropFlip', 'RepeatAug', 'SampleClipPair', 'SampleFramePair',
    'Solarize', 'VideoDecode', 'VideoInit'
]
