"""Load the encoder of any supported checkpoint, to use it frozen."""
from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from vicmae_mm.checkpoints.conversion import convert_with_report
from vicmae_mm.checkpoints.conversion.detect import needs_conversion
from vicmae_mm.checkpoints.find_config import find_config, read_config
from vicmae_mm.checkpoints.fit import check_finite_weights, check_fit
from vicmae_mm.checkpoints.weight_files import read_weights
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError

from .hub_config import HubConfig
from .infer_architecture import VIDEO_FRAMES, infer_backbone
from .normalisation import normalisation_of, usual_normalisation

if TYPE_CHECKING:
    from vicmae_mm.models import Encoder

PREFIX = 'backbone.'


def load_backbone(checkpoint: str | Path, config: str | Path | None = None,
                  device: str | torch.device = 'cpu') -> Encoder:
    """Load the encoder of a checkpoint, in eval mode.

    Checkpoints of other families (``vicmae_mm.checkpoints.conversion``) are converted. Architecture
    and normalisation come from ``config`` or, without it, from the config next to the checkpoint
    (:func:`find_config`). If there is none, a Vision Transformer of a standard width is inferred
    from its tensors and from the JSON files of the Hub next to it (:class:`HubConfig`). If these do
    not give the normalisation, that of most networks of the family is used, with a warning.

    Args:
        checkpoint: A file of weights, the folder of a run, or a folder of the Hub.
        config: A training config with the network as ``model.backbone``.
        device: Device of the encoder.

    Returns:
        The encoder, whose tensors all come from the checkpoint. The ``backbone`` of a Vision
        Transformer has ``out_type='raw'``, so its last output is all tokens (B, 1 + L, C).

    Raises:
        FileNotFoundError: If the checkpoint or config does not exist.
        ValueError: If the checkpoint cannot be read, its architecture cannot be inferred, its
            tensors are not exactly those of the network, or one is not finite.
        UnpicklingError: If the checkpoint contains more than data (torch >= 2.6).
    """
    from vicmae_mm.models import Encoder
    name, weights = str(checkpoint), read_weights(checkpoint)
    is_foreign = needs_conversion(weights)
    if config is None and not is_foreign:
        with suppress(FileNotFoundError):
            config = find_config(checkpoint)
    hub = HubConfig.next_to(checkpoint) if config is None else HubConfig()
    weights, usual = convert_encoder(weights, name, hub) if is_foreign else (weights, {})
    weights = {key: value for key, value in weights.items() if key.startswith(PREFIX)}
    if config is None:
        backbone, normalisation = infer_backbone(weights, name, hub), hub.normalisation or usual
    else:
        backbone, normalisation = backbone_of_config(read_config(config), usual, str(config))
    fill_backbone(backbone, weights, name, str(config or 'the inferred architecture'))
    encoder = Encoder(backbone, **normalisation).to(device).eval()
    encoder.normalisation_is_assumed = config is None and not hub.normalisation
    if encoder.normalisation_is_assumed:
        print_log(f'{name} does not say how images were normalised in training. Assumed, as for '
                  f'most of its family: mean {encoder.mean.tolist()}, std {encoder.std.tolist()}. '
                  'If that is wrong, name a config (config=, --config).', 'current',
                  logging.WARNING)
    return encoder


def convert_encoder(weights: dict, checkpoint: str,
                    hub: HubConfig) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights of another family under the names of this package, and its usual normalisation."""
    try:
        result = convert_with_report(
            weights, encoder_only=True, num_frames=hub.frames or VIDEO_FRAMES,
            img_size=hub.image or 224)
    except ValueError as error:
        raise InputError(f'{checkpoint}: {error}') from error
    return result.state, usual_normalisation(result.source, result.state)


def backbone_of_config(
        cfg: Config, normalisation: dict[str, Any], name: str) -> tuple[nn.Module, dict[str, Any]]:
    """The backbone of a config and its normalisation; the given one if it has none."""
    from mmpretrain.models.selfsup.mae import MAEViT

    from vicmae_mm.models import VideoViT
    if not isinstance(cfg.model.get('backbone'), dict) or 'type' not in cfg.model.backbone:
        raise InputError(f'The model of {name} has no backbone with a type.')
    # The weights come from the checkpoint, whatever the network was initialised from.
    settings = {key: value for key, value in cfg.model.backbone.items()
                if key not in ('init_cfg', 'pretrained')}
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        kind = MODELS.get(settings['type'])
        # A masked network drops tokens; its unmasked parent has the same weights.
        if isinstance(kind, type) and issubclass(kind, MAEViT):
            settings.pop('mask_ratio', None)
            network = ('vicmae_mm.RegisterViT' if 'num_registers' in settings else
                       'mmpretrain.VisionTransformer')
            settings.update(type=network, out_type='raw')
        backbone = MODELS.build(settings)
    # Only VideoViT has num_frames: Encoder would take another one for a network of images.
    if not isinstance(backbone, VideoViT) and any(
            isinstance(module, nn.Conv3d) for module in backbone.modules()):
        raise InputError(f'The backbone of {name} is a {type(backbone).__name__} for clips: the '
                         'only such backbone supported here is vicmae_mm.VideoViT.')
    return backbone, normalisation_of(cfg, normalisation, name)


def fill_backbone(backbone: nn.Module, weights: dict[str, Tensor], checkpoint: str,
                  config: str) -> None:
    """Load weights that are exactly the backbone's, of floating point and finite."""
    expected = {PREFIX + key: value for key, value in backbone.state_dict().items()}
    check_fit(weights, expected, checkpoint, config)
    # Most would load without an error, and give features without meaning.
    for key, value in weights.items():
        if value.is_meta or value.layout is not torch.strided or (
                expected[key].is_floating_point() and not value.is_floating_point()):
            raise InputError(f'{checkpoint}: {key} is of {value.dtype} ({value.layout}, on '
                             f'{value.device}): take the file with dense floating-point weights.')
    check_finite_weights(weights, checkpoint)
    backbone.load_state_dict({key[len(PREFIX):]: value for key, value in weights.items()})
    # Not before: built with 'raw', a network would lack ln2.
    if 'raw' in getattr(backbone, 'OUT_TYPES', ()):
        setattr(backbone, 'out_type', 'raw')  # noqa: B010
