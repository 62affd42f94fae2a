"""Curves and pictures reach TensorBoard and W&B through mmengine's own backends."""
import sys
from types import ModuleType

import numpy as np
import pytest

from tests.helpers.runs import tiny_runner

SCALARS = {
    'loss', 'loss_recon', 'loss_contrast', 'recon', 'contrast', 'contrast_weight', 'embedding_std',
    'pair_accuracy', 'lr'
}
HOOK = dict(type='vicmae_mm.ReconstructionHook', num_samples=1)


def test_tensorboard(tmp_path):
    event_accumulator = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator')
    tiny_runner(tmp_path, [HOOK], backends=('TensorboardVisBackend', )).train()
    folder, = tmp_path.glob('*/vis_data')
    events = event_accumulator.EventAccumulator(str(folder))
    events.Reload()
    assert set(events.Tags()['scalars']) >= SCALARS
    assert [event.step for event in events.Scalars('recon')] == [1, 2, 3, 4]
    assert [event.step for event in events.Images('reconstruction')] == [0, 2, 4]


class FakeWandb(ModuleType):
    """Records what would be sent to W&B."""

    def __init__(self) -> None:
        super().__init__('wandb')
        self.logged: list[dict] = []
        self.joined = False
        self.Image = list  # W&B's own copies the array too

    def init(self, **kwargs: str) -> None:
        self.dir = kwargs['dir']

    def log(self, content: dict, commit: bool = True) -> None:
        self.logged.append(content)

    def join(self) -> None:
        self.joined = True


def test_wandb(tmp_path, monkeypatch):
    wandb = FakeWandb()
    wandb.config = type('Config', (), dict(update=lambda *args, **kwargs: None))()
    wandb.run = type('Run', (), dict(log_code=lambda *args, **kwargs: None))()
    monkeypatch.setitem(sys.modules, 'wandb', wandb)
    tiny_runner(tmp_path, [HOOK], backends=('WandbVisBackend', )).train()
    pictures = [np.array(line['reconstruction']) for line in wandb.logged
                if 'reconstruction' in line]
    assert len(pictures) == 3
    assert all(picture.dtype == np.uint8 and picture.ndim == 3 for picture in pictures)
    scalars = [line for line in wandb.logged if 'reconstruction' not in line]
    assert len(scalars) == 4 and all(line.keys() >= SCALARS for line in scalars)
    assert wandb.joined
