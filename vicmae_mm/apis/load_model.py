"""Load a trained model from a checkpoint and the config of its work directory."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from mmengine.registry import DefaultScope

from vicmae_mm.checkpoints.conversion.detect import describe_family
from vicmae_mm.checkpoints.find_config import find_config, read_config
from vicmae_mm.checkpoints.fit import check_finite_weights, check_fit
from vicmae_mm.checkpoints.weight_files import read_weights
from vicmae_mm.registry import MODELS
from vicmae_mm.utils.errors import InputError

from .normalisation import is_bgr

if TYPE_CHECKING:
    from vicmae_mm.models import ViCMAE


def load_model(checkpoint: str | Path, config: str | Path | None = None,
               device: str | torch.device = 'cpu') -> ViCMAE:
    """Load a pre-trained model, in eval mode; all of its weights are the checkpoint's.

    Args:
        checkpoint: A ``.pth`` file of a training run.
        config: The config it was trained with; by default the one that mmengine wrote into the
            work directory, see :func:`find_config`.
        device: Where to put the model.

    Raises:
        FileNotFoundError: If the checkpoint or its config does not exist.
        ValueError: If the checkpoint cannot be read or does not fit the model or is not finite,
            or the config is not one of ViC-MAE pre-training.
        UnpicklingError: If the checkpoint contains more than data (torch >= 2.6).
    """
    from vicmae_mm.models import ViCMAE
    weights = read_weights(checkpoint)
    try:
        config = find_config(checkpoint) if config is None else config
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'{error} The checkpoint looks like {describe_family(weights)}.') from None
    cfg = read_config(config)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        model = MODELS.build(cfg.model)
    if not isinstance(model, ViCMAE):
        raise InputError(f'The model of {config} is a {type(model).__name__}: pass a pre-training '
                         'config of this package (vicmae_mm.ViCMAE).')
    if is_bgr(cfg, str(config)):
        raise InputError(f'{config} trains on BGR images, but pictures can be drawn of RGB images '
                         'only. Features can be extracted (vicmae_mm.apis.extract_features).')
    check_fit(weights, model.state_dict(), str(checkpoint), str(config))
    check_finite_weights(weights, str(checkpoint))
    model.load_state_dict(weights)
    return model.to(device).eval()
