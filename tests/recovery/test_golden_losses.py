"""Losses of a small run equal the stored ones, so that no change to training goes unnoticed.

They cover a complete run: the order of samples, masks, model, losses, lambda's schedule, optimizer
and the hooks of pre-training. If a change is meant to alter them, or a version of torch does, this
stores them again for the installed torch, so that the diff can be reviewed:

    python -m tests.recovery.test_golden_losses
"""
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.helpers.models import tiny_config
from tests.helpers.runs import PREPROCESSOR, FixedPairs, tiny_runner

STORED = Path(__file__).parent / 'golden'
REPO = Path(__file__).resolve().parents[2]
STEPS = 50
WRITING = ('reconstruction', 'curves', 'logger', 'checkpoint')  # hooks that are not needed here


class LossesHook(Hook):
    """Keeps the losses."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Add the loss of a step."""
        self.losses.append(outputs['loss'].item())


class DoubleHook(Hook):
    """Train in fp64."""

    def before_train(self, runner: Runner) -> None:
        """Convert the weights, and the pixels of every batch."""
        runner.model.double()
        runner.model.data_preprocessor.register_forward_hook(
            lambda module, args, data: dict(data, inputs=[x.double() for x in data['inputs']]))


def train(work_dir: Path, *hooks: Hook) -> list[float]:
    """Losses of 50 steps: 10 epochs of 40 pairs, contrast from the third epoch on."""
    runtime = Config.fromfile(REPO / 'configs/_base_/default_runtime.py')
    hooks_of_config = {k: v for k, v in runtime.default_hooks.items() if k not in WRITING}
    recorder = LossesHook()
    tiny_runner(
        work_dir, [recorder, dict(type='vicmae_mm.ContrastWeightHook'), *hooks],
        model=tiny_config(data_preprocessor=PREPROCESSOR, contrast_weight=1.),
        train_cfg=dict(type='vicmae_mm.ResumableTrainLoop', max_epochs=10),
        default_hooks=dict(hooks_of_config, checkpoint=None, logger=None),
        randomness=runtime.randomness,
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05)),
        train_dataloader=dict(
            batch_size=8, num_workers=0, dataset=FixedPairs(40),
            sampler=dict(type='vicmae_mm.EpochSampler', shuffle=True),
            collate_fn=dict(type='default_collate'))).train()
    return recorder.losses


def torch_version() -> tuple[int, int]:
    major, minor = torch.__version__.split('.')[:2]
    return int(major), int(minor)


def file_for(version: tuple[int, int]) -> Path:
    return STORED / 'torch-{}.{}.txt'.format(*version)


def stored_losses() -> tuple[list[float], Path]:
    """Losses of this torch, else of the nearest earlier version, else of the first later one."""
    versions = sorted(tuple(map(int, path.stem.removeprefix('torch-').split('.')))
                      for path in STORED.glob('torch-*.txt'))
    path = file_for(max((v for v in versions if v <= torch_version()), default=versions[0]))
    return [float(line) for line in path.read_text().splitlines()], path


@pytest.mark.parametrize('hooks, tolerance', [
    # fp64 shows what the program computes, whatever the processor: without vector instructions
    # (ATEN_CPU_CAPABILITY=default) losses move by 8e-8, as initial weights drawn in fp32 differ by
    # up to 3e-8 (given the same, losses do by 7e-16); with AVX2 in place of AVX-512 by 9e-16.
    pytest.param([DoubleHook()], 1e-6, id='fp64'),
    # fp32 itself moves by 5e-7 between these, and is 5e-7 to 8e-7 away from fp64.
    pytest.param([], 1e-5, id='fp32')])
def test_losses_are_the_stored_ones(hooks, tolerance, tmp_path):
    losses, (stored, path) = train(tmp_path, *hooks), stored_losses()
    assert len(losses) == len(stored) == STEPS
    worst = max(range(STEPS), key=lambda i: abs(losses[i] / stored[i] - 1))
    assert losses == pytest.approx(stored, rel=tolerance), (
        f'losses are not those of {path.name}; the worst is step {worst + 1}, '
        f'{losses[worst]!r} and not {stored[worst]!r}. If this is meant, or torch '
        f'{torch.__version__} differs: python -m tests.recovery.test_golden_losses stores them')


def main() -> None:
    """Store the losses for the installed torch."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        losses = train(Path(folder), DoubleHook())
    path = file_for(torch_version())
    path.write_text(''.join(f'{loss!r}\n' for loss in losses))
    print(f'{len(losses)} losses are in {path}.')


if __name__ == '__main__':
    main()
