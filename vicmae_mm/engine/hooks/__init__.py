"""Hooks."""
from .contrast_weight_hook import ContrastWeightHook

__all__ = ['ContrastWeightHook']
