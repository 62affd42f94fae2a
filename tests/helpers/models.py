"""A ViC-MAE small enough for a test, and full configs shrunk to it."""
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config, ConfigDict

from vicmae_mm.models import ViCMAE
from vicmae_mm.registry import MODELS

from .packing import pack

IMG_SIZE, PATCH, WIDTH = 32, 8, 32
TINY_ARCH = dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=64)

# settings of a small network, and its channels
TINY_3D = {
    'mmaction.ResNet3dSlowOnly': (dict(depth=18, base_channels=8), 64),
    'mmaction.SwinTransformer3D': (
        dict(arch=dict(embed_dims=24, depths=[1] * 4, num_heads=[1, 2, 3, 4])), 192),
}


def tiny_config(**overrides: Any) -> ConfigDict:
    """Config of a two-layer ViC-MAE on 32 px images; overrides merge into it."""
    cfg = Config(
        dict(
            model=dict(
                type='vicmae_mm.ViCMAE',
                backbone=dict(
                    type='vicmae_mm.ViCMAEViT', arch=TINY_ARCH, img_size=IMG_SIZE,
                    patch_size=PATCH),
                decoder=dict(
                    type='vicmae_mm.MAEDecoder', num_patches=(IMG_SIZE // PATCH)**2,
                    patch_size=PATCH, embed_dim=WIDTH, decoder_embed_dim=16, decoder_depth=1,
                    decoder_num_heads=2),
                head=dict(
                    type='mmpretrain.MAEPretrainHead', norm_pix=True, patch_size=PATCH,
                    loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2')),
                pooling=dict(type='vicmae_mm.TokenPooling', mode='mean'),
                projector=dict(type='vicmae_mm.Projector', in_channels=WIDTH),
                contrast_head=dict(type='vicmae_mm.InfoNCEHead'),
                init_cfg=[
                    dict(type='Xavier', layer='Linear', distribution='uniform'),
                    dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0)
                ])))
    cfg.merge_from_dict(dict(model=overrides))
    return cfg.model


def tiny_vicmae(**overrides: Any) -> ViCMAE:
    """Build and initialise the model of :func:`tiny_config`."""
    model = MODELS.build(tiny_config(**overrides))
    model.init_weights()
    return model


def shrink(cfg: Config, videos: Path, work_dir: Path) -> Config:
    """Cut a pre-training config down to one step on a folder of tiny videos."""
    model = cfg.model
    # HOGGenerator is for images of 14 x 14 patches
    img_size, patch = (224, 16) if model.get('target_generator') else (IMG_SIZE, PATCH)
    if 'ViCMAEViT' in model.backbone.type:
        model.backbone.update(arch=TINY_ARCH, img_size=img_size, patch_size=patch)
        if model.get('projector'):
            model.projector.in_channels = WIDTH
    elif 'img_size' in model.backbone:
        model.backbone.update(img_size=IMG_SIZE, pad_small_map=True)
    elif model.backbone.type in TINY_3D:
        network, model.projector.in_channels = TINY_3D[model.backbone.type]
        model.backbone.update(network)
    if model.get('decoder'):
        model.decoder.update(
            num_patches=(img_size // patch)**2, patch_size=patch, embed_dim=WIDTH,
            decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2)
        if 'patch_size' in model.head:
            model.head.patch_size = patch
    dataset = cfg.train_dataloader.dataset
    sources = dataset.get('datasets', dict(only=dataset))
    for source in sources.values():
        _shrink_crops(source.pipeline, img_size)
        if source.type == 'vicmae_mm.PackedFrameDataset':
            source.data_root = pack(videos, work_dir / 'packed')
        elif source.type == 'vicmae_mm.ImagePairDataset':
            source.update(data_root=str(write_images(work_dir / 'images')), data_prefix='')
        else:
            source.update(data_root='', ann_file='', data_prefix=dict(video=str(videos)))
    cfg.train_dataloader.update(
        batch_size=4 * len(sources), num_workers=0, persistent_workers=False, pin_memory=False)
    cfg.train_cfg.max_epochs = 1
    cfg.work_dir = str(work_dir)
    return cfg


def write_images(folder: Path, count: int = 4) -> Path:
    """Images of noise, ``<number>.png``, in a new folder. Returns the folder."""
    folder.mkdir(parents=True)
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 256, (IMG_SIZE, IMG_SIZE, 3), np.uint8)
        cv2.imwrite(str(folder / f'{index}.png'), pixels)
    return folder


def _shrink_crops(pipeline: list[ConfigDict], img_size: int) -> None:
    for step in pipeline:
        _shrink_crops(step.get('transforms', []), img_size)
        if 'clip_len' in step:
            step.clip_len = 4
        for key in ('scale', 'crop_size'):
            if key in step:
                step[key] = img_size
