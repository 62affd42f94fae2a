"""The network of ``--init``, from the file of its weights."""
from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace

from mmengine.config import Config, ConfigDict
from mmpretrain.models import VisionTransformer

from vicmae_mm.apis.hub_config import HubConfig
from vicmae_mm.apis.infer_architecture import backbone_settings
from vicmae_mm.apis.load_backbone import PREFIX, convert_encoder
from vicmae_mm.checkpoints.conversion.detect import describe_family, needs_conversion
from vicmae_mm.checkpoints.find_config import find_config, read_config
from vicmae_mm.checkpoints.weight_files import read_weights
from vicmae_mm.checkpoints.weight_folders import files_of_weights
from vicmae_mm.utils.errors import InputError


def find_network(init: str, model: str | None, cfg: Config) -> str:
    """Give a config the network of a file, and the file to start from.

    Args:
        init: Weights of any family that ``load_backbone`` reads.
        model: The name of the model in ``cfg`` if the user asked for it.
        cfg: With a model, its ``data_preprocessor`` and the settings of configs/adapt; changed.

    Returns:
        What the network is, in words.

    Raises:
        FileNotFoundError, ValueError: The file cannot be used, or has another network.
    """
    weights, files = read_weights(init), files_of_weights(init)
    cfg.load_from = os.path.abspath(init if len(files) > 1 else files[0])
    family = describe_family(weights)
    wanted = cfg.model.backbone
    if not needs_conversion(weights):
        with suppress(FileNotFoundError):
            trained = read_config(find_config(init))
            if str(trained.model.get('type')).endswith('ViCMAE'):
                _compare(_sizes(trained.model.backbone), _sizes(wanted), init, model)
                cfg.data_preprocessor = trained.model.pop('data_preprocessor')
                cfg.model = trained.model
                return f'that of {init}, with its decoder and losses'
    settings, normalisation = _from_tensors(weights, init, wanted if model else None)
    _compare(_sizes(settings), _sizes(wanted), init, model)
    arch, patch = settings['arch'], settings['patch_size']
    wanted.pop('arch')
    wanted.update(settings)
    grid = wanted.img_size // patch
    wanted.img_size = grid * patch
    cfg.model.decoder.update(num_patches=grid**2, patch_size=patch, embed_dim=arch['embed_dims'])
    cfg.model.head.patch_size = patch
    cfg.model.projector.in_channels = arch['embed_dims']
    cfg.data_preprocessor.update(normalisation)
    # As much for the first layer as of 12 layers.
    rate = round(0.75**(13 / (arch['num_layers'] + 1)), 2)
    cfg.optim_wrapper.paramwise_cfg.layer_decay_rate = rate
    return (f'{family} of {init}: {arch["embed_dims"]} wide, {arch["num_layers"]} deep, patches of '
            f'{patch} px')


def _from_tensors(weights: dict, init: str, wanted: ConfigDict | None) -> tuple[dict, dict]:
    """Settings of the encoder, and mean and std."""
    hub = HubConfig.next_to(init)
    usual: dict = {}
    if needs_conversion(weights):
        weights, usual = convert_encoder(weights, init, hub)
    if wanted and not hub.heads:
        hub = replace(hub, heads=_zoo(wanted)['num_heads'])
    tensors = {key: value for key, value in weights.items() if key.startswith(PREFIX)}
    settings = backbone_settings(tensors, init, hub)
    if tensors[f'{PREFIX}patch_embed.projection.weight'].ndim == 5 or (
            not settings['with_cls_token']):
        raise InputError(f'{init} is a network of clips, or without a class token: ViC-MAE needs '
                         'an encoder of images with one.')
    for name in ('with_cls_token', 'final_norm', 'out_type'):
        settings.pop(name)
    return settings, hub.normalisation or usual


def _zoo(backbone: ConfigDict) -> dict:
    return VisionTransformer.arch_zoo[backbone.arch] if isinstance(
        backbone.arch, str) else backbone.arch


def _sizes(backbone: ConfigDict | dict) -> tuple[int, ...]:
    """Width, depth and patch size."""
    arch = _zoo(ConfigDict(backbone))
    return arch['embed_dims'], arch['num_layers'], backbone['patch_size']


def _compare(found: tuple, wanted: tuple, init: str, model: str | None) -> None:
    if model and found != wanted:
        raise InputError('{} is {} wide, {} deep and has patches of {} px, but {} is {} wide, {} '
                         'deep and has {} px: leave out --model.'.format(
                             init, *found, model, *wanted))
