"""Transforms of video samples."""
from .decoding import VideoDecode, VideoInit
from .frame_pair import SampleFramePair
from .per_frame import PerFrame
from .repeat_aug import RepeatAug

__all__ = ['PerFrame', 'RepeatAug', 'SampleFramePair', 'VideoDecode', 'VideoInit']
