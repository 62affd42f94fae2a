"""Disk space for checkpoints: the estimate compared with saved files, and the messages."""
import os
from collections import namedtuple

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS

from tests.helpers.models import tiny_config
from tests.helpers.runs import tiny_runner
from vicmae_mm.commands.preflight import disk
from vicmae_mm.commands.preflight.findings import Findings

Usage = namedtuple('Usage', 'free')
WIDE = dict(projector=dict(hid_channels=512, out_channels=512))  # tensors outweigh their names


@pytest.mark.parametrize('optimizer, hooks, options', [
    (dict(type='AdamW', lr=1e-3), [], {}),
    (dict(type='AdamW', lr=1e-3), [dict(type='EMAHook')], {}),
    (dict(type='SGD', lr=1e-3, momentum=0.9), [], {}),
    (dict(type='SGD', lr=1e-3), [], {}),
    (dict(type='AdamW', lr=1e-3), [], dict(save_optimizer=False)),
    (dict(type='LARS', lr=1e-3, momentum=0.9), [], {}),
])
def test_estimate_is_the_size_of_a_saved_checkpoint(optimizer, hooks, options, tmp_path):
    runner = tiny_runner(tmp_path, hooks, epochs=1, model=tiny_config(**WIDE))
    runner.cfg.optim_wrapper = runner.optim_wrapper = dict(optimizer=optimizer)
    runner.train()
    runner.save_checkpoint(str(tmp_path), 'a.pth', save_param_scheduler=False, **options)
    model = MODELS.build(tiny_config(**WIDE))
    optimizers = [build_optim_wrapper(model, dict(optimizer=optimizer)).optimizer]
    estimate = disk.checkpoint_bytes(
        model, optimizers if options.get('save_optimizer', True) else [], averaged=bool(hooks))
    # names, the config's text and the log of the losses are not counted: 60 kB here
    assert estimate == pytest.approx(os.path.getsize(tmp_path / 'a.pth'), rel=0.03)


@pytest.mark.parametrize('room, kind, message', [
    (1.9, 'errors', 'not even two fit'), (5, 'warnings', 'lower default_hooks.checkpoint'),
    (7, 'notes', '6 at once take 6.0 MB')])
def test_room(room, kind, message, tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, 'disk_usage', lambda folder: Usage(int(room * 1e6)))
    hook = dict(type='CheckpointHook', interval=1, max_keep_ckpts=3, mid_epoch_interval=25,
                save_best='auto')
    cfg = Config(dict(work_dir=str(tmp_path / 'a/b'), default_hooks=dict(checkpoint=hook),
                      optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.))))
    findings = Findings()
    disk.check_disk(cfg, 1_000_000, findings)
    said = dict(errors=findings.errors, warnings=findings.warnings, notes=findings.notes)
    assert message in said.pop(kind)[0] and not any(said.values())
    assert not (tmp_path / 'a').exists()


@pytest.mark.parametrize('hook, folder', [
    ({}, 'run'), (dict(out_dir='elsewhere'), 'elsewhere/run'), (dict(out_dir='run'), 'run')])
@pytest.mark.parametrize('room, refused', [(1.5, False), (0.9, True)])
def test_a_resumed_run_has_the_room_of_its_checkpoints(
        room, refused, hook, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(disk.shutil, 'disk_usage', lambda folder: Usage(int(room * 1e6)))
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / 'epoch_1.pth').write_bytes(bytes(1_000_000))
    cfg = Config(dict(work_dir='run', resume=True,
                      default_hooks=dict(checkpoint=dict(hook, type='CheckpointHook')),
                      optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.))))
    findings = Findings()
    disk.check_disk(cfg, 1_000_000, findings)
    assert bool(findings.errors) == refused
