"""Layers shared by several models: BatchNorm over all processes, packed attention."""
from .sync_bn import SyncBN1d

__all__ = ['SyncBN1d']
