"""A pre-training config that a step of takes milliseconds, as a file."""
from pathlib import Path

from mmengine.config import Config

from tests.helpers.models import tiny_config

OPTIM_WRAPPER = dict(
    type='vicmae_mm.BF16OptimWrapper',
    constructor='vicmae_mm.FusedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0))


def tiny_step_config(**model: object) -> Config:
    """Config of the tiny model's training; overrides merge into the model."""
    return Config(dict(
        default_scope='mmpretrain',
        custom_imports=dict(imports=['vicmae_mm'], allow_failed_imports=False),
        data_preprocessor=dict(
            type='vicmae_mm.PairDataPreprocessor', mean=[127.] * 3, std=[60.] * 3),
        model=tiny_config(**model),
        optim_wrapper=OPTIM_WRAPPER,
        train_dataloader=dict(batch_size=4)))


def write_tiny_step_config(folder: Path) -> str:
    """The same as a file. Returns its path."""
    path = folder / 'tiny.py'
    tiny_step_config().dump(path)
    return str(path)
