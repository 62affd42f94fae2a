"""Layer-wise decay of the learning rate for models of mmaction2."""
from collections.abc import Callable
from typing import Any

from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from vicmae_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS
from vicmae_mm.utils.errors import InputError


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(LearningRateDecayOptimWrapperConstructor):
    """mmpretrain's layer decay, for any model whose backbone knows the depth of its layers.

    A parameter at depth d of a backbone of L layers learns with
    ``lr * layer_decay_rate ** (L + 1 - d)``; the stem (patches, class token, positions) has
    depth 0, layer i depth i + 1, and what comes after the layers, the head included, depth
    L + 1. mmpretrain's own constructor needs the model to tell, which mmaction2's
    recognizers don't, and mmaction2's constructor knows no names but ``backbone.blocks``: it
    leaves every layer of ours at the full learning rate.

    The options stand in ``paramwise_cfg``: ``layer_decay_rate``, ``norm_decay_mult``,
    ``bias_decay_mult``, ``flat_decay_mult`` and ``custom_keys`` with ``decay_mult``.
    """

    def add_params(self,
                   params: list[dict],
                   module: nn.Module,
                   prefix: str = '',
                   get_layer_depth: Callable[[str], tuple[int, int]] | None = None,
                   **kwargs: Any) -> None:
        """Add a group for each parameter that is trained.

        Args:
            params: The groups, changed in place.
            module: The model, then each of its modules.
            prefix: Of the names of the module's parameters.
            get_layer_depth: Depth of a parameter and number of depths, by name.

        Raises:
            ValueError: If the backbone does not know the depth of its layers.
        """
        if get_layer_depth is None:
            backbone: Any = module.backbone
            if not hasattr(backbone, 'get_layer_depth'):
                raise InputError(
                    f'{type(backbone).__name__} has no get_layer_depth, so its learning rate can '
                    'not decay by layer: leave the constructor out of optim_wrapper.')

            def get_layer_depth(name: str) -> tuple[int, int]:
                return backbone.get_layer_depth(name, 'backbone.')

        super().add_params(params, module, prefix, get_layer_depth, **kwargs)
