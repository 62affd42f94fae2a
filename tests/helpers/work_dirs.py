"""Work dirs as runs leave them, without the run."""
import json
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

PREPROCESSOR = dict(type='vicmae_mm.PairDataPreprocessor', mean=[123.675, 116.28, 103.53],
                    std=[58.395, 57.12, 57.375], to_rgb=False)


def write_work_dir(folder: Path, model: nn.Module, cfg: dict, classes: Any = None) -> Path:
    """Config, checkpoint of epoch 2, log and scalars of a longer run. Returns the checkpoint."""
    (folder / '1/vis_data').mkdir(parents=True)
    config = Config(dict(model=cfg, train_dataloader=dict(dataset=dict(
        type='vicmae_mm.VideoPairDataset', data_root='data/clips')),
        default_hooks=dict(contrast_weight=dict(begin_ratio=0.25))))
    config.dump(folder / 'run.py')
    meta = dict(epoch=2, iter=20, time='20260101_000000', cfg=config.pretty_text,
                dataset_meta=dict(classes=classes) if classes else {})
    torch.save(dict(meta=meta, state_dict=model.state_dict(), optimizer={}), folder / 'epoch_2.pth')
    (folder / '1/1.log').write_text('    PyTorch: 2.9.9\n    MMEngine: 0.10.7\n'
                                    '- INFO - 8 pairs per optimizer step (4 per batch x 2 GPUs).\n')
    records = [dict(loss=1.5, lr=0.1, iter=10), dict(step=1, per_class=[1, 2]),
               {'probe/knn_accuracy': 50., 'step': 1}, dict(loss=1.25, lr=0.1, iter=20),
               dict(loss=0.5, iter=30)]
    (folder / '1/vis_data/scalars.json').write_text(
        '\n'.join(map(json.dumps, records)) + '\n{"lo')
    return folder / 'epoch_2.pth'
