"""Frame-accurate video readers behind :func:`open_video`."""
from .base import VideoError, VideoReader
from .factory import check_backend, open_video

__all__ = ['VideoError', 'VideoReader', 'check_backend', 'open_video']
