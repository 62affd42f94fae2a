"""Hooks."""
from .bad_video_hook import BadVideoHook
from .contrast_weight_hook import ContrastWeightHook
from .curves_hook import CurvesHook
from .reconstruction_hook import ReconstructionHook

__all__ = ['BadVideoHook', 'ContrastWeightHook', 'CurvesHook', 'ReconstructionHook']
