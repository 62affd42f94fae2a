"""The table at the end of a run, computed by hand."""
import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.hooks import Hook, iter_timer_hook
from mmengine.registry import HOOKS

from tests.helpers.runs import FixedPairs, tiny_runner
from vicmae_mm.commands.run_report import RunReport, _best
from vicmae_mm.engine import global_log_processor
from vicmae_mm.engine.hooks import BadVideoHook
from vicmae_mm.visualization.curves import find_scalars, read_train_scalars

NAMES = ('recon', 'contrast', 'pair_accuracy', 'loss')


@HOOKS.register_module(force=True)
class ValidateHook(Hook):
    """Logs an accuracy and a number of unknown meaning after each epoch, as validation does."""

    def after_train_epoch(self, runner):
        for name, value in dict(acc=[50, 75, 62.5, 70][runner.epoch], distance=1., time=9.).items():
            runner.message_hub.update_scalar(f'val/{name}', value)


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Trains on 10 pairs in batches of four; the rows of the report, and what was logged."""
    clock = itertools.count()
    monkeypatch.setattr(iter_timer_hook, 'time', SimpleNamespace(time=lambda: float(next(clock))))

    def run(work_dir='w', epochs=2, stop_at=None, interval=1, **settings):
        runner = tiny_runner(
            tmp_path / work_dir, [dict(type='ValidateHook'), dict(type='vicmae_mm.BadVideoHook')],
            epochs=epochs, train_dataloader=dict(
                batch_size=4, num_workers=0, dataset=FixedPairs(10), drop_last=False,
                sampler=dict(type='DefaultSampler', shuffle=True),
                collate_fn=dict(type='default_collate')),
            log_processor=dict(type='vicmae_mm.GlobalLogProcessor'), default_hooks=dict(
                logger=dict(type='LoggerHook', interval=interval),
                checkpoint=dict(type='vicmae_mm.SafeCheckpointHook', interval=1),
                checkpoint_fit=dict(type='vicmae_mm.CheckpointFitHook')), **settings)
        object.__setattr__(runner.cfg, '_filename', 'config.py')
        report, texts = RunReport(devices=2), []
        runner.logger.addFilter(lambda record: texts.append(record.getMessage()) or True)
        runner.register_hook(report)
        if stop_at:
            plain = runner.train_loop.run_iter
            runner._train_loop.run_iter = lambda idx, batch: plain(idx, batch) if (
                runner.iter < stop_at) else (_ for _ in ()).throw(KeyboardInterrupt)
            with pytest.raises(KeyboardInterrupt):
                runner.train()
            report.stopped(runner)
        else:
            runner.train()
        rows = re.findall(r'^  (\S+(?: \S+)*)  +(.*)$', texts[-1], re.MULTILINE)
        return dict(rows), read_train_scalars(find_scalars(tmp_path / work_dir))

    return run


def values_of(row: str) -> list[float]:
    return [float(value) for value in row.split()]


def test_best_last_time_and_speed(train):
    """The clock ticks when it is read: a step takes 2 of it, of which data takes 1."""
    rows, records = train()
    assert re.fullmatch(r'vicmae train \S+ --devices 2 --work-dir \S+ --resume --epochs 4',
                        rows['to prolong'])
    assert len(records) == 6
    for name in NAMES:
        logged = [record[name] for record in records]
        best = max(logged) if name == 'pair_accuracy' else min(logged)
        assert values_of(rows[name]) == pytest.approx([best, logged[-1]], rel=1e-3), name
    assert values_of(rows['val/acc']) == [75, 75] and values_of(rows['val/distance']) == [1]
    assert not {'val/time', 'bad files', 'lr'} & rows.keys()
    # 20 pairs in 6 steps, not 24
    assert rows['time'].endswith(
        f', {20 / 12:.1f} pairs/s in steps, 50% of which is waiting for data')
    assert 'since' not in rows['time']


def test_the_table_of_a_resumed_run_has_all_of_it(train):
    """Values are those of the weights' whole history; time and speed are of this session."""
    first, records = train(epochs=3, stop_at=5)
    logged = [record['recon'] for record in records]
    assert len(logged) == 5 and values_of(first['recon']) == pytest.approx(
        [min(logged), logged[-1]], rel=1e-3)
    assert f', {18 / 10:.1f} pairs/s in steps, ' in first['time']
    rows, records = train(epochs=3, resume=True)  # from step 3: steps 4 and 5 are repeated
    # In one file if both start in the same second
    logged = [*{record['step']: record['recon'] for record in records}.values()]
    assert len(logged) == 9
    assert values_of(rows['recon']) == pytest.approx([min(logged), logged[-1]], rel=1e-3)
    assert values_of(rows['val/acc']) == [75, 62.5]
    assert ' since step 3, 1.7 pairs/s in steps' in rows['time']
    done, _ = train(epochs=3, resume=True)
    assert done['recon'] == rows['recon'] and done['time'].endswith(' since step 9')


def test_a_run_that_stops_before_its_first_line(train):
    rows, records = train(interval=50, stop_at=1)
    assert not records and not {*NAMES, 'logged'} & rows.keys()
    assert ', 2.0 pairs/s in steps' in rows['time']


def test_bad_files_are_counted_at_the_end(train, monkeypatch):
    monkeypatch.setattr(BadVideoHook, 'count', lambda self, runner: (1, 1234))
    assert train(epochs=1)[0]['bad files'] == '1 of 1,234'


def test_batches_of_various_sizes_have_no_speed(train, monkeypatch):
    for module in (global_log_processor, __import__('vicmae_mm.commands.run_report', fromlist='x')):
        monkeypatch.setattr(module, 'step_size', lambda *args: (_ for _ in ()).throw(
            global_log_processor.InputError('differ in size')))
    rows, records = train(epochs=1)
    assert '/s' not in rows['time'] and 'pairs_per_second' not in records[-1]


@pytest.mark.parametrize('name, best', [
    ('recon', '1'), ('contrast/in1k', '1'), ('probe/median_rank', '1'), ('val/loss', '1'),
    ('probe/recall_at_1', '3'), ('probe/knn_accuracy', '3'), ('val/accuracy/top1', '3'),
    ('val/acc/mean1', '3'), ('val/multi-label/mAP', '3'), ('val/single-label/f1-score', '3'),
    ('val/something', '')])
def test_which_values_are_better(name, best):
    assert _best(name, np.array([3., 1., 2.])) == best
