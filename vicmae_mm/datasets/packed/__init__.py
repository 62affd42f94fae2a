"""Videos packed as JPEG frames in a few large files, and the dataset that reads them."""
from .dataset import PackedFrameDataset

__all__ = ['PackedFrameDataset']
