"""Transforms of video samples."""
from .decoding import VideoDecode, VideoInit
from .frame_pair import SampleFramePair
from .per_frame import PerFrame

__all__ = ['PerFrame', 'SampleFramePair', 'VideoDecode', 'VideoInit']
