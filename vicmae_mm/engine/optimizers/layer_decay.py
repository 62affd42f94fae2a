"""Layer-wise learning rate decay, in fine-tuning and pre-training."""
from collections.abc import Callable
from typing import Any

from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from vicmae_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS
from vicmae_mm.utils.errors import InputError

from .fused_constructor import each_once


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(LearningRateDecayOptimWrapperConstructor):
    """mmpretrain's layer decay, for any model whose backbone has ``get_layer_depth``.

    A parameter at depth d of a backbone with L layers has the learning rate
    ``lr * layer_decay_rate ** (L + 1 - d)``. The stem (patches, class token, positions) has
    depth 0, layer i depth i + 1; everything after the layers depth L + 1, the full rate: heads, and
    in pre-training decoder and projector, which may be new while the backbone is not.

    Set in ``paramwise_cfg``: ``layer_decay_rate``, ``norm_decay_mult``, ``bias_decay_mult``,
    ``flat_decay_mult``, ``bypass_duplicate`` and ``custom_keys`` with ``decay_mult``.
    """

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '',
                   get_layer_depth: Callable[[str], tuple[int, int]] | None = None,
                   **kwargs: Any) -> None:
        """Add a group for each trained parameter of a module to ``params``.

        A ValueError if the backbone has no ``get_layer_depth``, or a setting no meaning here; also
        those of :func:`each_once`.
        """
        # mmpretrain asks the model, but mmaction2's recognizers have no get_layer_depth.
        # mmaction2's own constructor only recognises names under backbone.blocks, not our layers.
        if get_layer_depth is None:
            self._check_settings()
            backbone: Any = module.backbone
            if not hasattr(backbone, 'get_layer_depth'):
                raise InputError(
                    f'{type(backbone).__name__} has no get_layer_depth, so its learning rate '
                    'cannot decay by layer: remove constructor and layer_decay_rate from '
                    'optim_wrapper.')

            def get_layer_depth(name: str) -> tuple[int, int]:
                return backbone.get_layer_depth(name, 'backbone.')

        super().add_params(params, module, prefix, get_layer_depth, **kwargs)
        if not prefix:
            params[:] = each_once(params, module, self.paramwise_cfg)

    def _check_settings(self) -> None:
        """Refuse what mmpretrain would take without a message."""
        rate = self.paramwise_cfg.get('layer_decay_rate', 1.0)
        if not isinstance(rate, (int, float)) or not 0 < rate <= 1:
            raise InputError(f'paramwise_cfg.layer_decay_rate={rate!r} should be a factor of the '
                             'learning rate from one layer to the one below, in (0, 1].')
        lost = [f'custom_keys[{key!r}].lr_mult' for key, settings in self.paramwise_cfg.get(
            'custom_keys', {}).items() if 'lr_mult' in settings]
        lost += [name for name in self.paramwise_cfg if name.endswith('lr_mult')]
        if lost:
            raise InputError(f'paramwise_cfg.{lost[0]} has no effect with layer decay, which sets '
                             'all learning rates: remove it, or the constructor.')
