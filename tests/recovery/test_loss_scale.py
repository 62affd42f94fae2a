"""A resumed run continues with the loss scale of fp16 training (promise 1)."""
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim.optimizer import amp_optimizer_wrapper

from tests.helpers.runs import FixedPairs, tiny_runner


class Steps(Hook):
    """Records loss and scale of every step."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        """Record one step."""
        self.seen.append((float(outputs['loss']), runner.optim_wrapper.loss_scaler.get_scale()))


def train(work_dir: Path, dtype: str, **resume: Any) -> list[tuple[float, float]]:
    """Two epochs of four steps; the scale doubles every third step."""
    steps = Steps()
    tiny_runner(
        work_dir, [steps, dict(type='vicmae_mm.StepSeedHook')],
        train_dataloader=dict(
            batch_size=4, num_workers=0, dataset=FixedPairs(16),
            sampler=dict(type='vicmae_mm.EpochSampler'), collate_fn=dict(type='default_collate')),
        train_cfg=dict(type='vicmae_mm.ResumableTrainLoop', max_epochs=2),
        optim_wrapper=dict(
            type='AmpOptimWrapper', dtype=dtype, optimizer=dict(type='AdamW', lr=1e-3),
            loss_scale=dict(init_scale=16., growth_interval=3)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1)),
        **resume).train()
    return steps.seen


@pytest.mark.skipif(torch.cuda.is_available(), reason='a GPU is there: the other test is the one')
def test_on_cpu(tmp_path, monkeypatch):
    # torch has a scaler for CPUs, which mmengine's wrapper does not use
    monkeypatch.setattr(
        amp_optimizer_wrapper, 'GradScaler', partial(torch.amp.GradScaler, 'cpu'))
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    check(tmp_path, 'bfloat16')


@pytest.mark.gpu
def test_on_gpu(tmp_path):
    check(tmp_path, 'float16')


def check(folder: Path, dtype: str) -> None:
    """Resume between two increases of the scale."""
    complete = train(folder / 'complete', dtype)
    assert [scale for _, scale in complete] == [16, 16, 32, 32, 32, 64, 64, 64]
    for done in (2, 5, 7):
        checkpoint = str(folder / 'complete' / f'iter_{done}.pth')
        resumed = train(folder / str(done), dtype, resume=True, load_from=checkpoint)
        assert resumed == complete[done:]
