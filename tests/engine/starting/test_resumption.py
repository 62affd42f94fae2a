"""A resumed run has the learning rate, schedules and batches of its own config, or is refused.

The reference is a run that had the new settings from its first step.
"""
import os
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from vicmae_mm.commands.run_length import set_epochs
from vicmae_mm.registry import DATASETS, MODELS, OPTIM_WRAPPERS

EPOCHS, STOP = 4, 2  # the checkpoint that is resumed is epoch_2.pth
HOOKS = dict(
    logger=None, step_seed=dict(type='vicmae_mm.StepSeedHook'),
    checkpoint=dict(type='vicmae_mm.SafeCheckpointHook', interval=1, mid_epoch_interval=3),
    checkpoint_fit=dict(type='vicmae_mm.CheckpointFitHook'))
UNSAVED = dict(HOOKS, checkpoint=dict(HOOKS['checkpoint'], interval=9, mid_epoch_interval=0,
                                      save_last=False))
SETTINGS = dict(
    model=dict(type='vicmae_mm.ResumptionModel', backbone=dict(mask_ratio=0.75)),
    train_dataloader=dict(
        batch_size=4, num_workers=0, dataset=dict(type='vicmae_mm.ResumptionData', length=16),
        sampler=dict(type='vicmae_mm.EpochSampler'), collate_fn=dict(type='default_collate')),
    train_cfg=dict(type='vicmae_mm.ResumableTrainLoop', max_epochs=EPOCHS),
    optim_wrapper=dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1),
        paramwise_cfg=dict(bias_decay_mult=0.), constructor='DefaultOptimWrapperConstructor'),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, end=1, by_epoch=True, convert_to_iter_based=True),
        dict(type='CosineAnnealingLR', T_max=3, begin=1, end=4, by_epoch=True,
             convert_to_iter_based=True)],
    default_hooks=HOOKS, custom_hooks=[], randomness=dict(seed=0), default_scope='mmpretrain')


@DATASETS.register_module(force=True)
class ResumptionData(torch.utils.data.Dataset):
    """Random rows."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=torch.rand(3) + index)


@MODELS.register_module(force=True)
class ResumptionModel(BaseModel):
    """A linear layer with dropout, and the settings of larger models."""

    def __init__(self, backbone: dict, contrast_weight: float = 0.025,
                 contrast_head: dict | None = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
        self.contrast_weight, self.contrast_scale = contrast_weight, 1.

    def forward(self, inputs: torch.Tensor, mode: str) -> dict:
        loss = torch.nn.functional.dropout(self.layer(inputs)).square().mean()
        weight = self.contrast_weight * self.contrast_scale
        return dict(loss=loss, contrast_weight=loss.new_tensor(weight))


class Steps(Hook):
    """Note learning rate, decay and losses of each step, by epoch and batch."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int], tuple] = {}

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        group = runner.optim_wrapper.optimizer.param_groups[0]
        self.seen[runner.epoch, batch_idx] = (
            group['lr'], group['weight_decay'], group.get('betas'), runner.iter,
            float(outputs['loss'].detach()))


def train(work_dir: Path, changes: dict | None = None, stop: Any = None,
          **settings: Any) -> tuple[dict, str]:
    """Train; the steps and the warning about changed settings."""
    cfg = Config(deepcopy({**SETTINGS, **settings}))
    cfg.merge_from_dict(changes or {})
    cfg.work_dir, cfg.experiment_name = str(work_dir), f'{work_dir}{settings}{changes}'
    runner = Runner.from_cfg(cfg)
    steps = Steps()
    runner.register_hook(steps)
    if stop:
        runner.register_hook(stop)
    lines: list[str] = []
    with patch.object(runner.logger, 'warning', lines.append):
        runner.train()
    return steps.seen, ' '.join(line for line in lines if 'was written' in line)


@pytest.fixture(scope='module', autouse=True)
def quick_runs():
    """No survey of the machine, no fsync."""
    with patch.object(Runner, '_log_env'), patch.object(os, 'fsync'):
        yield


@pytest.fixture(scope='module')
def done(tmp_path_factory) -> Path:
    """Work dir of a complete run, with its checkpoints; one of them within the third epoch."""
    work_dir = tmp_path_factory.mktemp('done')
    steps, warning = train(work_dir, {'default_hooks.checkpoint.max_keep_ckpts': -1})
    assert len(steps) == 16 and not warning
    shutil.rmtree(next(path for path in work_dir.iterdir() if path.is_dir()))  # its log
    return work_dir


def resume(done: Path, work_dir: Path, changes: dict | None = None,
           checkpoint: str = f'epoch_{STOP}.pth', **settings: Any) -> tuple[dict, str]:
    return train(work_dir, changes, load_from=str(done / checkpoint), resume=True, **settings)


def test_without_changes_nothing_is_said_and_the_curve_is_the_same(done, tmp_path):
    whole, _ = train(tmp_path / 'whole')
    steps, warning = resume(done, tmp_path / 'on')
    assert not warning and steps == {key: whole[key] for key in steps} and len(steps) == 8


@pytest.mark.parametrize('changes, words', [
    ({'optim_wrapper.optimizer.lr': 1e-6}, 'optimizer.lr: 0.001 -> 1e-06'),
    ({'optim_wrapper.optimizer.weight_decay': 0.3}, 'weight_decay: 0.1 -> 0.3'),
    ({'optim_wrapper.optimizer.betas': (0.8, 0.9)}, 'betas: None -> [0.8, 0.9]'),
    ({'param_scheduler.0.end': 3, 'param_scheduler.1.begin': 3}, 'param_scheduler.0.end: 1 -> 3'),
    ({'param_scheduler.1.eta_min': 1e-4}, 'eta_min: None -> 0.0001'),
    ({'param_scheduler': [dict(type='MultiStepLR', milestones=[1, 3], gamma=0.1)]},
     'param_scheduler: '),
    ({'param_scheduler': []}, 'param_scheduler: '),
    ({'param_scheduler': [*SETTINGS['param_scheduler'], dict(  # moves the first of the betas
        type='CosineAnnealingMomentum', T_max=4, end=4, eta_min=0.5, convert_to_iter_based=True)]},
     'betas: (0.9, 0.999) -> ('),
    ({'param_scheduler.1.T_max': 7, 'param_scheduler.1.end': 8, 'train_cfg.max_epochs': 8},
     'train_cfg.max_epochs: 4 -> 8'),
    ({'train_dataloader.batch_size': 2}, '4 of 4 from 16 samples -> 8 of 2 from 16 samples'),
    ({'train_dataloader.batch_size': 8}, '4 of 4 from 16 samples -> 2 of 8 from 16 samples'),
    ({'train_dataloader.dataset.length': 24}, '4 of 4 from 16 samples -> 6 of 4 from 24'),
    ({'auto_scale_lr': dict(enable=True, base_batch_size=16)}, 'auto_scale_lr: None -> '),
])
def test_new_settings_take_effect(changes, words, done, tmp_path):
    whole, _ = train(tmp_path / 'whole', changes, default_hooks=UNSAVED)
    steps, warning = resume(done, tmp_path / 'on', changes, default_hooks=UNSAVED)
    assert words in warning
    assert min(steps) == (STOP, 0) and max(steps) == max(whole)
    assert [step[:4] for step in steps.values()] == [whole[key][:4] for key in steps]


@pytest.mark.parametrize('checkpoint', ['iter_9.pth', 'epoch_2.pth'])
def test_an_epoch_of_other_batches_starts_again(checkpoint, done, tmp_path):
    mid = tmp_path / 'mid'
    with pytest.raises(KeyboardInterrupt):
        train(mid, stop=Stop(9))
    assert (mid / 'iter_9.pth').exists()
    changes = {'train_dataloader.dataset.length': 17}  # as many batches of as many samples
    whole, _ = train(tmp_path / 'whole', {**changes, 'train_dataloader.drop_last': True})
    source = mid if checkpoint.startswith('iter') else done
    steps, warning = resume(source, tmp_path / 'on', {
        **changes, 'train_dataloader.drop_last': True}, checkpoint)
    assert min(steps) == (STOP, 0) and '4 of 4 from 16 samples -> 4 of 4 from 17' in warning
    assert [step[:4] for step in steps.values()] == [whole[key][:4] for key in steps]


class Stop(Hook):
    """Stop at an iteration, after its checkpoint."""

    priority = 'LOWEST'

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        if runner.iter + 1 == self.iteration:
            raise KeyboardInterrupt


@pytest.mark.parametrize('changes, words', [
    ({'model.backbone.mask_ratio': 0.5}, 'model.backbone.mask_ratio: 0.75 -> 0.5'),
    ({'model.contrast_weight': 0.1}, 'model.contrast_weight: None -> 0.1'),
    ({'model.contrast_head.temperature': 0.2}, 'model.contrast_head: None -> '),
    ({'optim_wrapper.accumulative_counts': 2}, 'accumulative_counts: None -> 2'),
    ({'optim_wrapper.clip_grad': dict(max_norm=1.)}, 'optim_wrapper.clip_grad: None -> '),
    ({'optim_wrapper.type': 'vicmae_mm.BF16OptimWrapper'}, 'optim_wrapper.type: '),
    ({'custom_hooks': [dict(type='EMAHook')]}, 'custom_hooks: [] -> ')])
def test_settings_outside_of_the_optimizer_are_named(changes, words, done, tmp_path):
    _, warning = resume(done, tmp_path, changes, default_hooks=UNSAVED)
    assert words in warning and '; lr: ' not in warning


@pytest.mark.parametrize('changes', [
    {'train_dataloader.num_workers': 1}, {'default_hooks.checkpoint.interval': 2},
    {'model.backbone.init_cfg': dict(type='TruncNormal', layer='Linear')}])
def test_settings_without_effect_are_not(changes, done, tmp_path):
    assert not resume(done, tmp_path, changes)[1]


def altered(done: Path, folder: Path, change: Any) -> tuple[Path, str]:
    checkpoint = torch.load(done / f'epoch_{STOP}.pth')
    change(checkpoint)
    torch.save(checkpoint, folder / 'altered.pth')
    return folder, 'altered.pth'


@pytest.mark.parametrize('change, words', [
    (lambda c: [c.pop(key) for key in list(c) if key != 'state_dict'],
     r'meta \(epoch and iteration\), message_hub, optimizer\. .*load_from=\S*altered\.pth'),
    (lambda c: c.pop('optimizer'), 'lacks the state of a training: optimizer'),
    (lambda c: c['meta'].pop('iter'), 'meta'),
    (lambda c: c.update(ema_state_dict={}), 'with an EMAHook, so its weights are averages')])
def test_an_incomplete_state_is_refused(change, words, done, tmp_path):
    with pytest.raises(ValueError, match=words):
        resume(*(altered(done, tmp_path, change)[:1]), tmp_path / 'on', checkpoint='altered.pth')


@pytest.mark.parametrize('optimizer, words', [
    (dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=0.1), r'than SGD \(AdamW\)'),
    (dict(type='Adam', lr=1e-3, weight_decay=0.1), r'than Adam \(AdamW\)')])
@pytest.mark.parametrize('has_text', [True, False])
def test_another_optimizer_is_refused(optimizer, words, has_text, done, tmp_path):
    if not has_text:
        if optimizer['type'] == 'Adam':
            return  # the same state: its own settings take effect
        done, _ = altered(done, tmp_path, lambda c: c['meta'].pop('cfg'))
        words = r'than SGD \(it has no dampening, momentum\).*load_from='
    wrapper = dict(SETTINGS['optim_wrapper'], optimizer=optimizer)
    with pytest.raises(ValueError, match=words):
        resume(done, tmp_path / 'on', checkpoint='epoch_2.pth' if has_text else 'altered.pth',
               optim_wrapper=wrapper)


def test_schedules_that_were_not_saved_are_replayed(done, tmp_path):
    folder, name = altered(done, tmp_path, lambda c: c.pop('param_schedulers'))
    whole, _ = train(tmp_path / 'whole')
    steps, _ = resume(folder, tmp_path / 'on', checkpoint=name)
    assert steps == {key: whole[key] for key in steps}


@pytest.mark.parametrize('text', [None, 'x = (', 'lr = __import__("os").abort()', '\0', 3])
def test_without_a_config_text_the_optimizer_is_compared(text, done, tmp_path):
    folder, name = altered(done, tmp_path, lambda c: c['meta'].update(cfg=text))
    changes = {'optim_wrapper.optimizer.lr': 1e-6, 'optim_wrapper.optimizer.weight_decay': 0.3}
    steps, warning = resume(folder, tmp_path / 'on', changes, name)
    assert 'weight_decay: 0.1 -> 0.3' in warning and ' lr: 0.00075 -> 7.5e-07' in warning
    assert next(iter(steps.values()))[:2] == (pytest.approx(7.5e-7), 0.3)


def test_nothing_left_is_said(done, tmp_path):
    steps, warning = resume(done, tmp_path, checkpoint='epoch_4.pth')
    assert not steps and 'written after epoch 4 of 4: nothing is left to train' in warning


def test_schedules_that_have_ended_are_named(done, tmp_path):
    steps, warning = resume(done, tmp_path, {'train_cfg.max_epochs': 5}, 'epoch_4.pth')
    assert 'schedules had ended where ' in warning and 'stays at 1.7e-05 up to epoch 5' in warning
    assert {round(step[0], 6) for step in steps.values()} == {1.7e-5}


class Weights(Hook):
    """Note the contrast weight of the first step of each epoch."""

    def __init__(self) -> None:
        self.seen: dict[int, float] = {}

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        self.seen.setdefault(runner.epoch, round(float(outputs['contrast_weight']), 8))


@pytest.mark.parametrize('hook, saved, want', [
    (dict(begin_ratio=0.5), 3, [0.025] * 5),  # would begin with epoch 4 of 8
    (dict(begin_ratio=0.5), 2, [0., 0., *[0.025] * 4]),  # had not begun
    (dict(schedule='linear', begin=1, ramp_epochs=2), 2,
     [0.0125, 0.0125, 0.01875, 0.025, 0.025, 0.025]),
    (dict(schedule='constant'), 2, [0.025] * 6)])
def test_a_longer_run_has_its_schedule_and_keeps_contrast_on(tmp_path, hook, saved, want):
    contrast = dict(HOOKS, contrast=dict(type='vicmae_mm.ContrastWeightHook', **hook))
    train(tmp_path, default_hooks=contrast)
    longer = Config(deepcopy(SETTINGS))
    longer.default_hooks.update(contrast)
    set_epochs(longer, 8)
    settings = dict(longer._cfg_dict)
    whole, _ = train(tmp_path / 'whole', **settings)
    weights = Weights()
    steps, _ = resume(tmp_path, tmp_path / 'on', checkpoint=f'epoch_{saved}.pth', stop=weights,
                      **settings)
    assert len(steps) == 4 * (8 - saved)
    assert {at: step[0] for at, step in steps.items()} == pytest.approx(
        {at: whole[at][0] for at in steps}, rel=1e-12)
    assert [weights.seen[epoch] for epoch in range(saved, 8)] == want


def test_a_loss_scale_takes_effect(done, tmp_path):
    folder, name = altered(done, tmp_path, lambda c: c['optimizer'].update(loss_scaler={}))
    wrapper = dict(SETTINGS['optim_wrapper'], type='vicmae_mm.ScalingWrapper')
    for scale, is_kept in ((1., True), (512., False)):
        look = Look()
        train(tmp_path / str(scale), stop=look, load_from=str(folder / name), resume=True,
              optim_wrapper=dict(wrapper, loss_scale=scale) if scale > 1 else wrapper)
        assert look.has_scaler == is_kept


@OPTIM_WRAPPERS.register_module(force=True)
class ScalingWrapper(OptimWrapper):
    """Takes a loss scale, as ``AmpOptimWrapper`` on a GPU does."""

    def __init__(self, loss_scale: float = 1., **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Look(Hook):
    """Note whether the checkpoint to be loaded has the state of a loss scaler."""

    priority = 'LOWEST'

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        self.has_scaler = 'loss_scaler' in checkpoint['optimizer']
