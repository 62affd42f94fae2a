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
        """Add the groups of a module; merge all of them at the end, see :func:`each_once`."""
        super().add_params(params, module, prefix=prefix, **kwargs)
        # mmengine calls this recursively; only the outermost call, for the model, has no prefix.
        if not prefix:
            params[:] = _merged(each_once(params, module, self.paramwise_cfg))


def each_once(groups: list[dict], model: nn.Module, paramwise_cfg: dict) -> list[dict]:
    """Groups of one parameter each, without those of a parameter that has had its group.

    A ValueError if there are such, and ``bypass_duplicate`` (as in mmengine) is not set.
    """
    first: dict[int, dict] = {}
    for group in groups:
        parameter, = group['params']
        is_new = first.setdefault(id(parameter), group) is group
        if not is_new and not paramwise_cfg.get('bypass_duplicate', False):
            names = [name for name, each in model.named_parameters(remove_duplicate=False)
                     if each is parameter]
            raise InputError(
                f'{" and ".join(names)} are one parameter, and some parameters appear in more than '
                'one parameter group: set optim_wrapper.paramwise_cfg.bypass_duplicate=True to '
                f'step it once, with the settings of {names[0]}.')
    return list(first.values())


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
