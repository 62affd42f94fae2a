"""Frame-accurate video readers behind :func:`open_video`."""
from .base import VideoError, VideoReader
from .factory import check_backend, open_video
from .index_store import IndexStore

__all__ = ['IndexStore', 'VideoError', 'VideoReader', 'check_backend', 'open_video']
