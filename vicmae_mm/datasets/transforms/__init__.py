"""Transforms of video samples."""
from .clip_pair import SampleClipPair
from .decoding import LoadImagePair, VideoDecode, VideoInit
from .frame_pair import SampleFramePair
from .pack_frames import PackFrames
from .pack_views import PackViews
from .per_clip import PerClip
from .per_frame import PerFrame
from .photometric import ColorJitter, GaussianBlur, Grayscale, Solarize
from .random_crop_flip import RandomCropFlip
from .repeat_aug import RepeatAug

__all__ = [
    'ColorJitter', 'GaussianBlur', 'Grayscale', 'LoadImagePair', 'PackFrames', 'PackViews',
    'PerClip', 'PerFrame', 'RandomCropFlip', 'RepeatAug', 'SampleClipPair', 'SampleFramePair',
    'Solarize', 'VideoDecode', 'VideoInit'
]
