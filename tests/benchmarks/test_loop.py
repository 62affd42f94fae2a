"""The time of a run is divided among its parts, and what waits for the device is counted."""
import argparse
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook

from benchmarks import loop
from tests.helpers.tiny_configs import write_recognizer
from vicmae_mm.registry import HOOKS


@HOOKS.register_module()
class ReadingHook(Hook):
    """Reads two values in each step; what is read while saving and between epochs is no step's."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        assert outputs['loss'].item() == float(outputs['loss'])

    def before_save_checkpoint(self, runner, checkpoint):
        assert torch.ones(()).item() == 1

    def before_train_epoch(self, runner):
        assert torch.ones(()).item() == 1


def run(config, *words):
    parser = argparse.ArgumentParser()
    loop.add_arguments(parser)
    loop.run(parser.parse_args([str(config), *words]))


def rows(printed):
    cells = [[cell.strip() for cell in line.strip('|').split('|')]
             for line in printed.splitlines() if line.startswith('| ')]
    return {first: others for first, *others in cells}


@pytest.fixture
def config(tmp_path):
    """Two steps an epoch."""
    path = write_recognizer(tmp_path)
    path.write_text(f'''{path.read_text()}
custom_hooks = [dict(type='vicmae_mm.ReadingHook')]
experiment_name = {str(tmp_path).replace('/', '_')!r}
''')
    return path


def test_every_part_of_a_run_has_its_row(config, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(config, '--epochs', '7', '--profile')
    printed = capsys.readouterr().out
    table = rows(printed)
    # of 14 steps, the first and the ten that are profiled are not timed
    assert '3 steps of 2 samples, 2 ends of epochs and 2 checkpoints in ' in printed
    assert {'forward', 'backward', 'optimizer', 'waiting for a batch', 'saving (blocking part)',
            "an epoch's end and next first batch", 'ReadingHook', 'rest of a step',
            'validation', 'aten::addmm'} <= set(table)
    shares = [float(cells[2][:-1]) for cells in table.values()
              if len(cells) == 3 and cells[2].endswith('%')]
    assert sum(shares[-len(shares):]) > 99
    assert float(table['forward'][1]) > 0
    assert [count for place, (count, *_) in table.items()
            if place.startswith('benchmarks/test_loop.py')] == ['2.00']
    assert not Path('work_dirs').exists()


def test_waiting_after_the_last_step_is_that_of_the_epochs_end():
    watch, runner, parts = loop.LoopWatch('wall', 0), SimpleNamespace(
        iter=0, train_dataloader=range(3)), []

    def step(idx, batch):
        runner.iter += 1

    def run_epoch():
        counted = watch._count_steps(runner, step)
        for idx in range(3):
            counted(idx, None)
            parts.append(watch.timer._running[-1])

    watch.timer.wrap(run_epoch, loop.EPOCH_END)()
    assert parts == [loop.WAITING, loop.WAITING, loop.EPOCH_END]
    assert (watch.steps, watch.epochs) == (2, 1)  # the first step is not timed


def test_what_another_thread_calls_is_not_a_part():
    timer, called = loop.LoopTimer(loop.Clock()), []
    timed = timer.wrap(lambda: called.append([*timer._running]), 'part')
    pool = ThreadPoolExecutor(1)
    for target in (timed, timer.wrap(lambda: pool.submit(timed).result(), 'other')):
        target()
    assert called == [[loop.REST, 'part'], [loop.REST, 'other']]


@pytest.mark.parametrize('words, message', [
    (['--launcher', 'pytorch'], 'without a launcher'),
    (['--epochs', '1', '--profile'], 'has 2 steps left, of which the first 11 are not timed')])
def test_refuses_what_it_cannot_measure(config, words, message):
    with pytest.raises(ValueError, match=message):
        run(config, *words)


def test_refuses_a_run_by_iterations(config):
    config.write_text(config.read_text() + 'train_cfg = dict(by_epoch=False, max_iters=5)\n')
    with pytest.raises(ValueError, match='IterBasedTrainLoop has no epochs'):
        run(config)


def test_waits_for_a_gpu_are_counted(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'set_sync_debug_mode', modes.append)
    monkeypatch.setattr(torch.cuda.Event, 'synchronize', lambda self: None)
    places, counting = Counter(), iter([True, True, False, True])
    reads = loop.count_reads(places, lambda: next(counting))
    with pytest.warns(UserWarning, match='another'), reads:
        for _ in range(3):
            warnings.warn('called a synchronizing CUDA operation', stacklevel=1)
        warnings.warn('another', stacklevel=1)
        torch.cuda.Event.synchronize(None)
    assert [*places.values()] == [2, 1]
    assert modes == ['warn', 'default']
