"""Backbones."""
from .vicmae_vit import ViCMAEViT

__all__ = ['ViCMAEViT']
