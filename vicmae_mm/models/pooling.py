"""From what a backbone returns to one vector per sample."""
from collections.abc import Sequence
from typing import Any

from mmpretrain.models.necks import GeneralizedMeanPooling, GlobalAveragePooling
from torch import Tensor, nn

from vicmae_mm.models.necks import TokenPooling
from vicmae_mm.utils.errors import InputError

from .token_layout import declared_extra_tokens, innermost_network, network_width

# They pool one tensor; of several they would pool each, and all but the last would be lost.
_OF_ONE = (GeneralizedMeanPooling, GlobalAveragePooling, TokenPooling)
_POOLING = {
    2: 'pooling=None',
    3: "pooling=dict(type='vicmae_mm.TokenPooling')",
    4: "pooling=dict(type='mmpretrain.GlobalAveragePooling')",
    5: "pooling=dict(type='mmpretrain.GlobalAveragePooling', dim=3)",
}


def pool_features(features: Any, pooling: nn.Module | None, backbone: nn.Module) -> Tensor:
    """Pool the output of a backbone to vectors (B, C).

    Of several stages of one network the last is used, as by the heads of mmpretrain: the backbone
    says that its outputs are stages by as many ``out_indices`` or ``out_scales``. Several other
    outputs, such as SlowFast's pathways, need a pooling that takes them together.
    None is for a backbone that returns one vector per sample. A ValueError if ``pooling`` would
    lose outputs or pool other axes than the positions.
    """
    parts = last_outputs(features, backbone)
    if any(isinstance(each, Tensor) and not each.is_floating_point() for each in parts):
        raise InputError(
            f'The {type(backbone).__name__} returns indices besides its features ({_shapes(parts)})'
            ': it masks images for another method, and cannot be trained by contrast.')
    if len(parts) != 1 and (pooling is None or isinstance(pooling, _OF_ONE)):
        raise InputError(
            f'The {type(backbone).__name__} returns {len(parts)} outputs of shapes '
            f"{_shapes(parts)}: set pooling=dict(type='vicmae_mm.PathwayPooling'), which averages "
            'each and concatenates them, or another neck that takes them together.')
    if isinstance(pooling, _OF_ONE):
        _check_axes(parts[0], pooling, backbone)
        pooled = pooling(parts[0])
    elif pooling is not None:
        pooled = pooling(tuple(parts) if len(parts) > 1 else features)
    else:
        pooled = parts[0]
    while isinstance(pooled, (tuple, list)) and len(pooled) == 1:
        pooled = pooled[0]
    if not isinstance(pooled, Tensor) or pooled.ndim != 2:
        after = 'The backbone' if pooling is None else type(pooling).__name__
        shape = _shapes([pooled])
        raise InputError(f'{after} returns features of shape {shape}: pool them to (N, C), '
                         f'with {_POOLING.get(getattr(pooled, "ndim", 0), "a neck")}.')
    return pooled


def last_outputs(features: Any, backbone: nn.Module) -> list[Any]:
    """The last stage: one tensor, or several that are pooled together."""
    timm_features = getattr(innermost_network(backbone), 'feature_info', None)
    stages = next((each for each in (
        getattr(backbone, 'out_indices', None), getattr(backbone, 'out_scales', None),
        getattr(timm_features, 'out_indices', None)) if each), None)
    num_stages = len(stages) if isinstance(stages, Sequence) else 0
    while isinstance(features, (tuple, list)):
        features = [each for each in features if each is not None]  # an auxiliary output, not used
        if not features or len(features) not in (1, num_stages):
            return features
        features, num_stages = features[-1], 0
    return [features]


def _check_axes(features: Any, pooling: nn.Module, backbone: nn.Module) -> None:
    """Raise a ValueError if the features are not what the pooling was made for."""
    tokens = isinstance(pooling, TokenPooling)
    gap = getattr(pooling, 'gap', None)
    dims = 1 if tokens else 2 if gap is None else int(type(gap).__name__[-2])
    ndim = getattr(features, 'ndim', 0)
    if ndim != dims + 2:
        raise InputError(f'{type(pooling).__name__} pools {dims} dimension(s), but the '
                         f'{type(backbone).__name__} returns features of shape '
                         f'{_shapes([features])}: set {_POOLING.get(ndim, "another pooling")}.')
    width = network_width(backbone)
    width = width[-1] if isinstance(width, Sequence) else width  # one per stage
    axis, other = (-1, 1) if tokens else (1, -1)
    if width == features.shape[other] != features.shape[axis]:
        right = "mmpretrain.GlobalAveragePooling', dim=1" if tokens else "vicmae_mm.TokenPooling'"
        advice = f"set pooling=dict(type='{right})" if ndim == 3 else 'move the channels first'
        raise InputError(f'{type(pooling).__name__} would pool the {width} channels of features of '
                         f'shape {_shapes([features])}: {advice}.')
    extra = declared_extra_tokens(backbone)
    if isinstance(pooling, TokenPooling) and extra not in (None, pooling.num_extra_tokens):
        raise InputError(f'The {type(backbone).__name__} puts {extra} token(s) before those of the '
                         f'patches: set pooling.num_extra_tokens={extra}.')


def _shapes(features: Sequence[Any]) -> str:
    return ', '.join(str(tuple(each.shape)) if isinstance(each, Tensor) else type(each).__name__
                     for each in features)
