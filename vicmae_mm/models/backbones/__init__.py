"""Backbones."""
from .register_vit import RegisterViT
from .vicmae_vit import ViCMAEViT
from .video_vit import VideoViT

__all__ = ['RegisterViT', 'ViCMAEViT', 'VideoViT']
