"""An optimizer step in as few kernels as possible."""
import inspect
from typing import Any

import torch
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIMIZERS
from mmengine.utils import digit_version
from torch import nn

from vicmae_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS
from vicmae_mm.utils.errors import InputError

from .tied_parameters import each_once


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FusedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with few parameter groups and torch's fused optimizers.

    Parameters with equal settings share a group: mmengine creates one per parameter, and an
    optimizer processes its groups one by one (262 kernels per step for a ViT-B). ``fused=True`` is
    set if optimizer and device support it (GPU, or CPU from torch 2.4), unless the config chooses
    an implementation. Neither changes results beyond rounding.

    To resume a run that was started with mmengine's constructor, whose checkpoints have other
    groups, set ``constructor='DefaultOptimWrapperConstructor'``.
    """

    optimizer_cfg: dict[str, Any]

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer and its wrapper."""
        if 'layer_decay_rate' in self.paramwise_cfg:
            raise InputError('paramwise_cfg.layer_decay_rate has no effect here: set optim_wrapper.'
                             "constructor='vicmae_mm.LayerDecayOptimWrapperConstructor'.")
        settings = self.optimizer_cfg
        if (_has_fused_form(settings['type']) and _can_fuse(model)
                and not settings.keys() & {'fused', 'foreach', 'differentiable'}):
            # A copy: the dict is a part of the config, which another run may read.
            self.optimizer_cfg = {**settings, 'fused': True}
        return super().__call__(model)

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '',
                   **kwargs: Any) -> None:
        """Add the groups of a module; merge all of them at the end.

        Raises:
            ValueError: Modules share a parameter, and ``bypass_duplicate`` is not set.
        """
        super().add_params(params, module, prefix=prefix, **kwargs)
        # mmengine calls this recursively; only the outermost call, for the model, has no prefix.
        if not prefix:
            bypass = self.paramwise_cfg.get('bypass_duplicate', False)
            params[:] = _merged(each_once(params, module, bypass))


def _merged(groups: list[dict]) -> list[dict]:
    # Compared, not hashed: a setting may be a list, such as betas=[0.9, 0.95] of custom_keys.
    merged: list[tuple[dict, list]] = []
    for group in groups:
        settings = {name: value for name, value in group.items() if name != 'params'}
        same = next((params for other, params in merged if other == settings), None)
        if same is None:
            merged.append((settings, same := []))
        same += group['params']
    return [dict(settings, params=params) for settings, params in merged]


def _has_fused_form(kind: Any) -> bool:
    if isinstance(kind, str):
        name = kind
        # Looked up exactly as mmengine will when it builds the optimizer.
        with OPTIMIZERS.switch_scope_and_registry(None) as registry:
            kind = registry.get(name)
        if kind is None:
            raise InputError(f'optim_wrapper.optimizer.type={name!r} is not a registered '
                             'optimizer: correct its spelling.')
    return 'fused' in inspect.signature(kind).parameters


def _can_fuse(model: nn.Module) -> bool:
    kinds = {parameter.device.type for parameter in model.parameters()}
    return kinds == {'cuda'} or (
        kinds == {'cpu'} and digit_version(torch.__version__) >= digit_version('2.4.0'))
