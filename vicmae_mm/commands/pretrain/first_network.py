"""The network of ``--init``, from the file of its weights."""
from __future__ import annotations

from contextlib import suppress

from mmengine.config import Config

from vicmae_mm.apis.hub_config import HubConfig
from vicmae_mm.apis.infer_architecture import backbone_settings
from vicmae_mm.apis.load_backbone import PREFIX, convert_encoder
from vicmae_mm.checkpoints.conversion.detect import describe_family, needs_conversion
from vicmae_mm.checkpoints.find_config import find_config, read_config
from vicmae_mm.checkpoints.weight_files import read_weights
from vicmae_mm.checkpoints.weight_folders import files_of_weights
from vicmae_mm.utils.errors import InputError


def find_network(init: str, model: str | None, cfg: Config) -> str:
    """Give a config the normalisation and, without a model, the network of a file; name it.

    Args:
        init: Weights of any family that ``load_backbone`` reads.
        model: The name of the model in ``cfg`` if the user asked for it. Loading the weights
            refuses those that do not fit.
        cfg: With a model, its ``data_preprocessor`` and the settings of configs/adapt; changed.

    Raises:
        FileNotFoundError, ValueError: The file cannot be used.
    """
    weights, files = read_weights(init), files_of_weights(init)
    cfg.load_from = init if len(files) > 1 else str(files[0])
    words = f'{model}, from {init}; without --model, that of the file'
    if not needs_conversion(weights):
        with suppress(FileNotFoundError):
            trained = read_config(find_config(init)).model
            if str(trained.get('type')).endswith('ViCMAE'):
                cfg.data_preprocessor = trained.pop('data_preprocessor')
                if not model:
                    cfg.model = trained
                return words if model else f'that of {init}, with its decoder and losses'
    family, hub = describe_family(weights), HubConfig.next_to(init)
    usual: dict = {}
    if needs_conversion(weights):
        weights, usual = convert_encoder(weights, init, hub)
    cfg.data_preprocessor.update(hub.normalisation or usual)
    if model:
        return words
    weights = {key: value for key, value in weights.items() if key.startswith(PREFIX)}
    settings = backbone_settings(weights, init, hub)
    if weights[f'{PREFIX}patch_embed.projection.weight'].ndim == 5 or (
            not settings['with_cls_token']):
        raise InputError(f'{init} is a network of clips, or without a class token: ViC-MAE needs '
                         'an encoder of images with one.')
    for name in ('with_cls_token', 'final_norm', 'out_type'):
        settings.pop(name)
    backbone, patch = cfg.model.backbone, settings['patch_size']
    width, depth = settings['arch']['embed_dims'], settings['arch']['num_layers']
    backbone.pop('arch')
    backbone.update(settings, img_size=backbone.img_size // patch * patch)
    cfg.model.decoder.update(
        num_patches=(backbone.img_size // patch)**2, patch_size=patch, embed_dim=width)
    cfg.model.head.patch_size = patch
    cfg.model.projector.in_channels = width
    # As much for the first layer as of 12 layers.
    cfg.optim_wrapper.paramwise_cfg.layer_decay_rate = round(0.75**(13 / (depth + 1)), 2)
    return f'{family} of {init}: {width} wide, {depth} deep, patches of {patch} px'
