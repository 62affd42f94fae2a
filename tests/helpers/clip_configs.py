"""Configs of video classification shrunk to a second of work, and the data for them."""
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from tests.helpers.models import IMG_SIZE, PATCH, TINY_ARCH, WIDTH, tiny_vicmae
from tests.helpers.videos import make_video

CLASSES = 2
# sizes in px of the full configs, and what becomes of them
_PIXELS = {224: IMG_SIZE, 256: IMG_SIZE + 8}


def write_videos(folder: Path, count: int = 2, num_frames: int = 40) -> Path:
    """Numbered videos of two classes. Returns the list of them."""
    lines = [f'{make_video(folder / f"{n}.mp4", num_frames).name} {n % CLASSES}'
             for n in range(count)]
    videos = folder / 'videos.txt'
    videos.write_text('\n'.join(lines) + '\n')
    return videos


def write_pretrained(folder: Path) -> Path:
    """A pre-training checkpoint of the tiny encoder."""
    path = folder / 'pretrained.pth'
    torch.save(dict(state_dict=tiny_vicmae().state_dict()), path)
    return path


def shrink_clips(cfg: Config, videos: Path, pretrained: Path, work_dir: Path) -> Config:
    """Cut a config for ``VideoViT`` down to one step on the tiny data, in place."""
    model = cfg.model
    frozen = model.backbone.get('frozen_stages', -1)
    model.backbone.update(
        arch=TINY_ARCH, img_size=IMG_SIZE, patch_size=PATCH, num_frames=4,
        frozen_stages=TINY_ARCH['num_layers'] if frozen > 0 else -1)
    model.backbone.init_cfg.checkpoint = str(pretrained)
    model.cls_head.update(num_classes=CLASSES, in_channels=WIDTH)
    if model.get('neck'):
        model.neck.in_channels = WIDTH
    if 'num_heads' in model.cls_head:
        model.cls_head.num_heads = TINY_ARCH['num_heads']
    if model.data_preprocessor.blending:
        model.data_preprocessor.blending.num_classes = CLASSES
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.batch_size = min(loader.batch_size, 2)  # all videos, for drop_last
        loader.dataset.update(
            data_root=str(videos.parent), ann_file=videos.name, data_prefix=dict(video=''))
        _shrink_steps(loader.dataset.pipeline)
    cfg.train_cfg.max_epochs = 1
    cfg.work_dir, cfg.experiment_name = str(work_dir), str(work_dir).replace('/', '_')
    return cfg


def _shrink_steps(value: Any) -> None:
    """Lengths and sizes of every transform, also in those that hold others."""
    if isinstance(value, list):
        for item in value:
            _shrink_steps(item)
        return
    if not isinstance(value, dict):
        return
    if 'clip_len' in value:
        value['clip_len'] = 4
    for key in ('scale', 'crop_size'):
        if isinstance(value.get(key), int):
            value[key] = _PIXELS[value[key]]
        elif key in value:
            value[key] = tuple(_PIXELS.get(size, size) for size in value[key])
    for item in value.values():
        _shrink_steps(item)
