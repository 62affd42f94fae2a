"""The configs of the tables at a scale: ``configs/_base_/scales/<scale>.py``."""
import copy
from pathlib import Path

from mmengine.config import Config

from vicmae_mm.commands.image_size import set_image_size
from vicmae_mm.commands.options import open_config
from vicmae_mm.commands.run_length import nested_dicts, set_epochs


def scaled_config(path: Path, scale: Config, part: str, seed: int) -> Config:
    """The config ``path`` at a scale, of which it is the part ``'pretraining'`` or ``'transfer'``.

    The seed is that of initial weights, order, frames, crops and masks.
    """
    cfg = open_config(str(path))
    cfg.image_size = scale.get('image_size')
    set_image_size(cfg)
    cfg.image_size = None
    # A copy: mmengine takes ``_delete_`` out.
    for key, value in copy.deepcopy(scale[part].settings).items():
        names = key.split('.')
        # A baseline without projector does not get one.
        if names[0] != 'model' or cfg.model.get(names[1]) is not None:
            cfg.merge_from_dict({key: value})
    transforms = scale.get('transforms', {})
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for each in nested_dicts(cfg.get(name)):
            each.update(transforms.get(str(each.get('type')).rpartition('.')[2], {}))
    set_epochs(cfg, scale[part].get('epochs'))
    cfg.randomness.seed = seed
    return cfg
