"""Hooks."""
from .bad_video_hook import BadVideoHook
from .checkpoint_fit_hook import CheckpointFitHook
from .class_count_hook import ClassCountHook
from .collapse_hook import CollapseHook
from .compile_hook import CompileHook
from .contrast_weight_hook import ContrastWeightHook
from .curves_hook import CurvesHook
from .finite_loss_hook import FiniteLossHook, NonFiniteLossError
from .gradient_coverage_hook import GradientCoverageHook
from .packed_attention_hook import PackedAttentionHook
from .pretrained_fit_hook import PretrainedFitHook
from .probe_hook import ProbeHook
from .reconstruction_hook import ReconstructionHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .sample_independence_hook import SampleIndependenceHook
from .step_seed_hook import StepSeedHook

__all__ = [
    'BadVideoHook', 'CheckpointFitHook', 'ClassCountHook', 'CollapseHook', 'CompileHook',
    'ContrastWeightHook', 'CurvesHook', 'FiniteLossHook', 'GradientCoverageHook',
    'NonFiniteLossError', 'PackedAttentionHook', 'PretrainedFitHook', 'ProbeHook',
    'ReconstructionHook', 'SafeCheckpointHook', 'SampleIndependenceHook', 'StepSeedHook'
]
