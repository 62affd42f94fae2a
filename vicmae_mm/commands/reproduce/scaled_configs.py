"""The configs of the tables at a scale: ``configs/reproduce/<scale>.py``."""
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from vicmae_mm.commands.image_size import set_image_size
from vicmae_mm.commands.options import open_config
from vicmae_mm.commands.run_length import set_epochs


def pretraining_config(path: Path, scale: Config, seed: int) -> Config:
    """A pre-training config of a table, at a scale.

    Args:
        path: Of the config for full size.
        scale: The settings of the scale.
        seed: Of initial weights, order, frames, crops and masks.
    """
    cfg = open_config(str(path))
    _scale(cfg, scale, scale.pretraining)
    cfg.randomness.seed = seed
    return cfg


def transfer_config(path: Path, scale: Config, seed: int, checkpoint: Path) -> Config:
    """A config of ``configs/transfer/imagenet`` at a scale, for a pre-trained checkpoint."""
    cfg = open_config(str(path))
    _scale(cfg, scale, scale.transfer)
    cfg.model.backbone.init_cfg.checkpoint = str(checkpoint)
    cfg.randomness.seed = seed
    return cfg


def _scale(cfg: Config, scale: Config, part: Any) -> None:
    cfg.image_size = scale.get('image_size')
    set_image_size(cfg)
    cfg.image_size = None
    # A copy: mmengine takes ``_delete_`` out.
    for key, value in copy.deepcopy(part.settings).items():
        path = key.split('.')
        # A baseline without projector does not get one.
        if path[0] != 'model' or cfg.model.get(path[1]) is not None:
            cfg.merge_from_dict({key: value})
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for step in _transforms((cfg.get(name) or {}).get('dataset', {}).get('pipeline', ())):
            step.update(scale.get('transforms', {}).get(step.type.rpartition('.')[2], {}))
    set_epochs(cfg, part.get('epochs'))


def _transforms(steps: Any) -> Iterator[Any]:
    for step in steps:
        yield step
        yield from _transforms(step.get('transforms', ()))
