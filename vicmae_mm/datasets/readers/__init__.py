"""Frame-accurate video readers behind :func:`open_video`."""
from vicmae_mm.datasets.readers.kept_index.index_store import IndexStore

from .base import MachineError, VideoError, VideoReader
from .factory import check_backend, open_video

__all__ = [
    'IndexStore', 'MachineError', 'VideoError', 'VideoReader', 'check_backend', 'open_video']
