"""Upstream faults, fixed on ``import vicmae_mm``: :mod:`.patches` lists them."""
from .patches import apply

__all__ = ['apply']
