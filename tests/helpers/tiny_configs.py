"""Configs that train in a second, mostly with the libraries' own parts, and the data for them."""
from pathlib import Path

import cv2
import numpy as np

from tests.helpers.videos import make_video

_COMMON = '''
custom_imports = dict(imports=['vicmae_mm'], allow_failed_imports=False)
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1),
                     logger=dict(type='LoggerHook', interval=1))
env_cfg = dict(dist_cfg=dict(backend='nccl'))
randomness = dict(seed=0)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True)]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
train_cfg = dict(by_epoch=True, max_epochs=1)
vit = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16)
'''

_MAE = '''
default_scope = 'mmpretrain'
model = dict(
    type='MAE',
    data_preprocessor=dict(
        type='vicmae_mm.PairDataPreprocessor', mean=[127.] * 3, std=[60.] * 3),
    backbone=dict(type='MAEViT', arch=vit, img_size=32, patch_size=16),
    neck=dict(type='MAEPretrainDecoder', num_patches=4, patch_size=16, embed_dim=16,
              decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2),
    head=dict(type='MAEPretrainHead', patch_size=16, norm_pix=True,
              loss=dict(type='PixelReconstructionLoss', criterion='L2')))
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True), collate_fn=dict(type='default_collate'),
    dataset=dict(type='CustomDataset', data_root={root!r}, with_label=False, pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='ColorJitter', hue=0.5),
        dict(type='PackInputs')]))
'''

_RECOGNIZER = '''
default_scope = 'mmaction'
model = dict(
    type='Recognizer2D',
    data_preprocessor=dict(type='ActionDataPreprocessor', mean=[127.] * 3, std=[60.] * 3),
    backbone=dict(type='mmpretrain.VisionTransformer', arch=vit, img_size=32, patch_size=16,
                  out_type='avg_featmap'),
    cls_head=dict(type='TSNHead', num_classes=2, in_channels=16, spatial_type=None,
                  average_clips='prob'))
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='VideoDataset', ann_file={root!r} + '/videos.txt', pipeline=[
        dict(type='OpenCVInit'),
        dict(type='SampleFrames', clip_len=1, num_clips=2),
        dict(type='OpenCVDecode'),
        dict(type='Resize', scale=(32, 32), keep_ratio=False),
        dict(type='FormatShape', input_format='NCHW'),
        dict(type='PackActionInputs')]))
val_dataloader = train_dataloader
test_dataloader = dict(
    train_dataloader,
    dataset=dict(train_dataloader['dataset'], test_mode=True, pipeline=[
        dict(type='vicmae_mm.VideoInit'),
        dict(type='SampleFrames', clip_len=1, num_clips=2, test_mode=True),
        dict(type='vicmae_mm.VideoDecode'),
        dict(type='vicmae_mm.PackViews', crop_size=32, input_format='NCHW', transforms=[
            dict(type='Resize', scale=(-1, 32))])]))
val_evaluator = test_evaluator = dict(type='AccMetric')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
'''


def write_mae(folder: Path) -> Path:
    """A MAE of mmpretrain's on four pictures. Returns the path of the config."""
    pictures = folder / 'pictures'
    pictures.mkdir()
    for index in range(4):
        picture = np.random.default_rng(index).integers(0, 256, (32, 32, 3), np.uint8)
        cv2.imwrite(str(pictures / f'{index}.png'), picture)
    return _write(folder / 'mae.py', _MAE.format(root=str(pictures)))


def write_recognizer(folder: Path) -> Path:
    """A recognizer of mmaction2's on four videos of two classes."""
    lines = [f'{make_video(folder / f"{n}.mp4", 6)} {n % 2}' for n in range(4)]
    (folder / 'videos.txt').write_text('\n'.join(lines) + '\n')
    return _write(folder / 'recognizer.py', _RECOGNIZER.format(root=str(folder)))


def _write(path: Path, text: str) -> Path:
    path.write_text(_COMMON + text)
    return path
