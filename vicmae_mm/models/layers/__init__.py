"""Layers."""
from .sync_bn import SyncBN1d

__all__ = ['SyncBN1d']
