"""Hooks."""
from .bad_video_hook import BadVideoHook
from .checkpoint_fit_hook import CheckpointFitHook
from .contrast_weight_hook import ContrastWeightHook
from .curves_hook import CurvesHook
from .reconstruction_hook import ReconstructionHook

__all__ = [
    'BadVideoHook', 'CheckpointFitHook', 'ContrastWeightHook', 'CurvesHook', 'ReconstructionHook'
]
