"""Optimizer wrappers and their constructors."""
from .bf16_optim_wrapper import BF16OptimWrapper
from .fused_constructor import FusedOptimWrapperConstructor
from .layer_decay import LayerDecayOptimWrapperConstructor

__all__ = [
    'BF16OptimWrapper', 'FusedOptimWrapperConstructor', 'LayerDecayOptimWrapperConstructor'
]
