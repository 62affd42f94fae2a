"""Load the encoder of any checkpoint known here, to use it frozen."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from vicmae_mm.checkpoints.conversion import convert, detect_family
from vicmae_mm.checkpoints.find_config import find_config, read_config
from vicmae_mm.checkpoints.fit import check_fit, not_finite
from vicmae_mm.checkpoints.weight_files import read_weights
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError

from .infer_architecture import infer_backbone

if TYPE_CHECKING:
    from vicmae_mm.models import Encoder

PREFIX = 'backbone.'
_HALF = dict(mean=[127.5] * 3, std=[127.5] * 3)
# Families that do not normalise as ImageNet's. Some of timm's networks do (DeiT, DINO): a config
# with their data_preprocessor says so.
NORMALISATION: dict[str, dict[str, Any]] = {
    'timm': _HALF,
    'hf-vit': _HALF,
    'mae_st': dict(mean=[0.45 * 255] * 3, std=[0.225 * 255] * 3),
}


def load_backbone(checkpoint: str | Path,
                  config: str | Path | None = None,
                  device: str | torch.device = 'cpu') -> Encoder:
    """Load the encoder of a checkpoint, in eval mode.

    Pre-trained and fine-tuned checkpoints of this package, mmpretrain and mmaction2 are read as
    they are; those of other families (``vicmae_mm.checkpoints.conversion``) are converted. The
    architecture and the normalisation come from the config: the one named, else the one next to
    the checkpoint (:func:`find_config`). Without one, a Vision Transformer of a standard width is
    inferred from the shapes of its tensors, and the normalisation is ImageNet's.

    Args:
        checkpoint: A file of weights.
        config: A training config with the network as ``model.backbone``.
        device: Where to put the encoder.

    Returns:
        The encoder, whose ``backbone`` is, for a Vision Transformer, a
        ``mmpretrain.VisionTransformer`` with ``out_type='raw'``: its last output is all tokens
        (B, 1 + L, C). Every tensor of it is the checkpoint's.

    Raises:
        FileNotFoundError: If the checkpoint or config does not exist.
        ValueError: If the checkpoint can not be read, it can not be told what network it is
            of, its tensors are not exactly those of the network, or one is not finite.
        UnpicklingError: If the checkpoint contains more than data (torch >= 2.6).
    """
    from vicmae_mm.models import Encoder
    weights = read_weights(checkpoint)
    is_ours = any(key.startswith(PREFIX) for key in weights)
    if config is None and is_ours:
        config = _config_beside(checkpoint)
    normalisation: dict[str, Any] = {}
    if not is_ours:
        weights, normalisation = _convert(weights, str(checkpoint))
    weights = {key: value for key, value in weights.items() if key.startswith(PREFIX)}
    if config is None:
        encoder = Encoder(infer_backbone(weights, str(checkpoint)), **normalisation)
    else:
        encoder = _encoder_of_config(config, normalisation)
    wanted = {PREFIX + key: value for key, value in encoder.backbone.state_dict().items()}
    check_fit(weights, wanted, str(checkpoint), str(config or 'its shapes'))
    _check_values(weights, wanted, str(checkpoint))
    encoder.backbone.load_state_dict(
        {key[len(PREFIX):]: value for key, value in weights.items()})
    encoder.to(device).eval()
    return encoder


def _check_values(weights: dict[str, Tensor], wanted: dict[str, Tensor], checkpoint: str) -> None:
    """Refuse what would load and give features without meaning."""
    for key, value in weights.items():
        if wanted[key].is_floating_point() and not value.is_floating_point():
            raise InputError(f'{checkpoint}: {key} is of {value.dtype}. Quantised weights can not '
                             'be used here: take the file with floating-point ones.')
    if broken := not_finite(weights):
        raise InputError(f'{checkpoint}: {broken[0]} is not finite. The training that wrote it has '
                         'diverged, or the file is damaged: take an earlier checkpoint.')


def _config_beside(checkpoint: str | Path) -> Path | None:
    try:
        return find_config(checkpoint)
    except FileNotFoundError:
        return None


def _convert(weights: dict[str, Tensor],
             checkpoint: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights of another family under the names of this package, and its normalisation."""
    try:
        family = detect_family(weights)
        converted = convert(weights, family, encoder_only=True)
    except ValueError as error:
        raise InputError(f'{checkpoint}: {error}') from error
    return converted, NORMALISATION.get(family, {})


def _encoder_of_config(config: str | Path, normalisation: dict[str, Any]) -> Encoder:
    from vicmae_mm.models import Encoder, VideoViT
    cfg = read_config(config)
    if 'backbone' not in cfg.model:
        raise InputError(f'The model of {config} has no backbone.')
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        backbone = _build_unmasked(cfg.model.backbone)
    if not isinstance(backbone, VideoViT) and any(
            isinstance(module, nn.Conv3d) for module in backbone.modules()):
        raise InputError(f'The backbone of {config} is a {type(backbone).__name__} for clips: of '
                         'those only vicmae_mm.VideoViT is known here.')
    preprocessor = cfg.model.get('data_preprocessor')
    if preprocessor:
        # a preprocessor without them does not normalise
        normalisation = dict(mean=preprocessor.get('mean') or [0.] * 3,
                             std=preprocessor.get('std') or [1.] * 3)
    return Encoder(backbone, **normalisation)


def _build_unmasked(cfg: dict) -> nn.Module:
    """Build a backbone that returns all it can: of a masked one, its unmasked parent."""
    from mmpretrain.models.backbones import VisionTransformer
    from mmpretrain.models.selfsup.mae import MAEViT
    cfg = {key: value for key, value in cfg.items() if key not in ('init_cfg', 'pretrained')}
    kind = MODELS.get(cfg['type'])
    if isinstance(kind, type) and issubclass(kind, MAEViT):
        cfg.pop('mask_ratio', None)
        cfg.update(type='mmpretrain.VisionTransformer', out_type='raw')
    backbone = MODELS.build(cfg)
    if isinstance(backbone, VisionTransformer):
        backbone.out_type = 'raw'  # here, as building with it would leave out ln2
    return backbone
