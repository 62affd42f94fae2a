"""Load a trained model from a checkpoint and the config of its work directory."""
from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from vicmae_mm.registry import MODELS

from .checkpoint_family import describe_family
from .checkpoint_fit import check_fit
from .config_search import find_config

if TYPE_CHECKING:
    from vicmae_mm.models import ViCMAE

# where mmengine, the authors of MAE, PySlowFast and DeepSpeed keep a state dict
_WRAPPERS = ('state_dict', 'model', 'model_state', 'module')


def load_model(checkpoint: str | Path,
               config: str | Path | None = None,
               device: str | torch.device = 'cpu') -> ViCMAE:
    """Load a pre-trained model, in eval mode.

    Args:
        checkpoint: A ``.pth`` file of a training run.
        config: The config it was trained with. By default the one that
            mmengine wrote into the work directory, see :func:`find_config`.
        device: Where to put the model.

    Returns:
        The model; its weights are the checkpoint's, all of them.

    Raises:
        FileNotFoundError: If the checkpoint or its config does not exist.
        ValueError: If the checkpoint can not be read, does not fit the
            model, or the config is not one of ViC-MAE pre-training.
        UnpicklingError: If the checkpoint contains more than data (torch >= 2.6).
    """
    weights = read_weights(checkpoint)
    try:
        config = find_config(checkpoint) if config is None else config
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'{error} The checkpoint looks like {describe_family(weights)}.') from None
    model = _build_model(config)
    check_fit(weights, model.state_dict(), str(checkpoint), str(config))
    model.load_state_dict(weights)
    return model.to(device).eval()


def read_weights(checkpoint: str | Path) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint, executing nothing.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no checkpoint, or holds no weights.
        UnpicklingError: If it contains more than data (torch >= 2.6).
    """
    return read_weights_and_extras(checkpoint)[0]


def read_weights_and_extras(checkpoint: str | Path) -> tuple[dict[str, Tensor], list[str]]:
    """Read the state dict and the names of what else is in the file, see :func:`read_weights`."""
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'There is no checkpoint {checkpoint}.')
    try:
        # vicmae_mm.compat makes this loader read data only
        content = CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu')
    except (pickle.UnpicklingError, ValueError):
        raise
    except Exception as error:  # zip, pickle and OS errors of many kinds
        raise ValueError(f'{checkpoint} is not a checkpoint, or is damaged: {error}') from error
    extras: list[str] = []
    for name in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            extras += [str(key) for key in content if key != name]
            content = content[name]
    weights = {key: value for key, value in content.items()
               if isinstance(value, Tensor)} if isinstance(content, dict) else {}
    if not weights:
        what = f'is a {type(content).__name__}'
        if isinstance(content, dict):
            what = f'has {", ".join(map(str, [*extras, *content][:8])) or "nothing in it"}'
        raise ValueError(f'{checkpoint} holds no weights where they are looked for '
                         f'({", ".join(_WRAPPERS)}, or the file itself): it {what}.')
    return weights, extras + [str(key) for key in content if key not in weights]


def read_config(config: str | Path) -> Config:
    """Read a training config, with its data preprocessor moved into the model.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it describes no model.
    """
    if not Path(config).is_file():
        raise FileNotFoundError(f'There is no config {config}.')
    cfg = Config.fromfile(config)
    if 'model' not in cfg:
        raise ValueError(f"{config} has no 'model': it is not a training config.")
    if 'data_preprocessor' in cfg:  # at the top level of a config, the Runner moves it likewise
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    return cfg


def _build_model(config: str | Path) -> ViCMAE:
    from vicmae_mm.models import ViCMAE
    cfg = read_config(config)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        model = MODELS.build(cfg.model)
    if not isinstance(model, ViCMAE):
        raise ValueError(f'The model of {config} is a {type(model).__name__}: what is wanted is a '
                         'pre-training config of this package (vicmae_mm.ViCMAE).')
    return model
