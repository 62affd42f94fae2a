"""Backbones."""
from .vicmae_vit import ViCMAEViT
from .video_vit import VideoViT

__all__ = ['ViCMAEViT', 'VideoViT']
