"""Hooks."""
from .bad_video_hook import BadVideoHook
from .checkpoint_fit_hook import CheckpointFitHook
from .class_count_hook import ClassCountHook
from .contrast_weight_hook import ContrastWeightHook
from .curves_hook import CurvesHook
from .pretrained_fit_hook import PretrainedFitHook
from .reconstruction_hook import ReconstructionHook
from .step_seed_hook import StepSeedHook

__all__ = [
    'BadVideoHook', 'CheckpointFitHook', 'ClassCountHook', 'ContrastWeightHook', 'CurvesHook',
    'PretrainedFitHook', 'ReconstructionHook', 'StepSeedHook'
]
