"""An optimizer step in as few kernels as torch can make of it."""
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

    mmengine gives every parameter a group of its own, and an optimizer works group by group: a
    ViT-B of 262 tensors costs 262 kernels a step. Here parameters of equal settings share a group.
    ``fused=True`` is set for the optimizers that have it, where torch can (on a GPU; on a CPU from
    torch 2.4), unless the config chooses a form. Neither changes what is computed but for rounding.

    The checkpoints of a run that began with mmengine's constructor have other groups: it goes on
    with ``constructor='DefaultOptimWrapperConstructor'``.

    Arguments: as ``mmengine.optim.DefaultOptimWrapperConstructor``.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer and its wrapper.

        Raises:
            KeyError: If there is no such optimizer.
        """
        settings = self.optimizer_cfg
        if (_has_fused_form(settings['type']) and _can_fuse(model)
                and not settings.keys() & {'fused', 'foreach', 'differentiable'}):
            settings['fused'] = True
        return super().__call__(model)

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '',
                   **kwargs: Any) -> None:
        """Add the groups of a module, and merge all once the whole model's are there."""
        super().add_params(params, module, prefix=prefix, **kwargs)
        if not prefix:
            params[:] = _merged(params)


def _merged(groups: list[dict]) -> list[dict]:
    merged: dict[tuple, dict] = {}
    for group in groups:
        settings = {name: value for name, value in group.items() if name != 'params'}
        key = tuple(sorted(settings.items()))
        merged.setdefault(key, dict(settings, params=[]))['params'] += group['params']
    return list(merged.values())


def _has_fused_form(kind: Any) -> bool:
    if isinstance(kind, str):
        name = kind
        with OPTIMIZERS.switch_scope_and_registry(None) as registry:  # as it is built
            kind = registry.get(name)
        if kind is None:
            raise InputError(f'optim_wrapper.optimizer.type={name!r} is no registered optimizer: '
                           'correct its spelling.')
    return 'fused' in inspect.signature(kind).parameters


def _can_fuse(model: nn.Module) -> bool:
    kinds = {parameter.device.type for parameter in model.parameters()}
    return kinds == {'cuda'} or (
        kinds == {'cpu'} and digit_version(torch.__version__) >= digit_version('2.4.0'))
