"""mmpretrain's own MAE in the sizes of a config of ours: what our step is measured against."""
import inspect
from typing import Any

from mmengine.config import Config
from mmpretrain.models.necks import MAEPretrainDecoder
from mmpretrain.models.selfsup.mae import MAEViT
from mmpretrain.models.utils.data_preprocessor import SelfSupDataPreprocessor

from vicmae_mm.utils.errors import InputError

# paramwise_cfg of mmpretrain's configs/mae
_PARAMWISE = dict(custom_keys={
    name: dict(decay_mult=0.0) for name in ('ln', 'bias', 'pos_embed', 'mask_token', 'cls_token')})


def mmpretrain_mae(cfg: Config) -> Config:
    """MAE as mmpretrain trains it, with this config's sizes, mask ratio and precision.

    Its AdamW is torch's default kind, as in mmpretrain's configs.

    Raises:
        ValueError: If the config's model is no masked autoencoder.
    """
    model = cfg.model
    if not model.get('decoder'):
        raise InputError('--baseline compares with mmpretrain.MAE, but the model of the config has '
                         'no decoder: give a config that reconstructs.')
    optim_wrapper = cfg.optim_wrapper.to_dict()
    optim_wrapper.pop('constructor', None)
    for kind in ('fused', 'foreach'):
        optim_wrapper['optimizer'].pop(kind, None)
    return Config(dict(
        default_scope='mmpretrain',
        custom_imports=cfg.get('custom_imports'),
        data_preprocessor=_stock(
            'mmpretrain.SelfSupDataPreprocessor', SelfSupDataPreprocessor,
            cfg.get('data_preprocessor') or {}),
        find_unused_parameters=False,
        model=dict(
            type='mmpretrain.MAE',
            backbone=_stock('mmpretrain.MAEViT', MAEViT, model.backbone),
            neck=_stock('mmpretrain.MAEPretrainDecoder', MAEPretrainDecoder, model.decoder),
            head=model.head,
            init_cfg=model.get('init_cfg')),
        optim_wrapper={**optim_wrapper, 'paramwise_cfg': _PARAMWISE}))


def without_contrast(cfg: Config) -> Config:
    """This config's model without the contrastive part, which MAE does not have either."""
    parts = ('pooling', 'projector', 'target_projector', 'contrast_head')
    return Config(cfg.to_dict() | dict(model=cfg.model.to_dict() | dict.fromkeys(parts)))


def _stock(name: str, kind: type, cfg: Any) -> dict:
    """The arguments that the stock class knows."""
    known = inspect.signature(kind).parameters
    return dict({key: value for key, value in cfg.items() if key in known}, type=name)
