"""Short training runs of a tiny model on frames drawn in memory."""
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from tests.helpers.models import IMG_SIZE, tiny_config, tiny_vicmae
from vicmae_mm.engine.hooks import SafeCheckpointHook

PREPROCESSOR = dict(
    type='mmpretrain.SelfSupDataPreprocessor', mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375], to_rgb=False)


def save_run(folder: Path, **overrides: Any) -> Path:
    """A work dir with a dumped config and a checkpoint, whose path is returned."""
    folder.mkdir()
    overrides['data_preprocessor'] = PREPROCESSOR
    cfg = Config(dict(model=tiny_config(**overrides), default_scope='mmpretrain'))
    cfg.dump(folder / 'tiny.py')
    torch.save(dict(state_dict=tiny_vicmae(**overrides).state_dict()), folder / 'epoch_1.pth')
    return folder / 'epoch_1.pth'


class RandomPairs:
    """Pairs of frames that draw from numpy's and torch's global generators."""

    def __init__(self, length: int = 8, size: int = IMG_SIZE) -> None:
        self.length = length
        self.size = size

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        if index >= self.length:
            raise IndexError(index)
        ramp = torch.arange(self.size).expand(3, self.size, -1) * 4 + 8 * index
        noise = np.random.randint(0, 16) + torch.randint(0, 16, (2, 3, self.size, self.size))
        return dict(inputs=list((ramp + noise).byte()), data_samples=index)


class FixedPairs:
    """Pairs of noise that are a function of the index, as samples that name their file."""

    def __init__(self, length: int = 8) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        pixels = np.random.default_rng(int(index)).integers(
            0, 256, (2, 3, IMG_SIZE, IMG_SIZE), dtype=np.uint8)
        sample = DataSample()
        sample.set_field(f'videos/{int(index)}.mp4', 'filename', field_type='metainfo')
        return dict(inputs=list(torch.from_numpy(pixels)), data_samples=sample)


def finish_saving(runner: Runner) -> None:
    """Wait for the checkpoint that is being written."""
    for hook in runner.hooks:
        if isinstance(hook, SafeCheckpointHook):
            hook._finish(runner)


def tiny_runner(work_dir: Path,
                hooks: list,
                epochs: int = 2,
                dataset: Any = None,
                model: dict | None = None,
                backends: tuple[str, ...] = ('LocalVisBackend', ),
                **kwargs: Any) -> Runner:
    """A runner of two iterations an epoch, on the CPU, without checkpoints."""
    settings = dict(
        model=model or tiny_config(data_preprocessor=PREPROCESSOR),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=4, num_workers=0, dataset=dataset or RandomPairs(),
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate')),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2)),
        default_hooks=dict(checkpoint=None, logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=hooks,
        visualizer=dict(
            type='Visualizer', vis_backends=[dict(type=backend) for backend in backends]),
        randomness=dict(seed=0),
        default_scope='mmpretrain',
        experiment_name=str(work_dir).replace('/', '_'))
    return Runner(**{**settings, **kwargs})
