"""The quickstart's steps and its report."""
import time
from pathlib import Path

import pytest

from vicmae_mm.commands.quickstart.measuring import Accuracy
from vicmae_mm.commands.quickstart.pretraining import Trained
from vicmae_mm.commands.quickstart.report import Steps, accuracy_table, write_report

SETTING = dict(seed=9, rendered=dict(clips=7, stills=6), num_train=50, num_test=400)
TRAINED = [Trained(title, 'Told.', Path('x'), None, None) for title in ('ViC-MAE', 'MAE')]


@pytest.fixture
def table():
    return accuracy_table(
        {'ViC-MAE': dict(avg=Accuracy(linear=0.8126, knn=0.7), cls=Accuracy(linear=0.6, knn=0.5))},
        chance=0.101)


def test_each_accuracy_is_in_its_column(table):
    head, _, *rows = ([cell.strip() for cell in line.strip('|').split('|')] for line in table)
    columns = {name: [row[column] for row in rows] for column, name in enumerate(head)}
    assert columns == {
        'network': ['ViC-MAE', 'majority class'],
        'linear probe, class token': ['60.0%', '10.1%'],
        'kNN, class token': ['50.0%', '10.1%'],
        'linear probe, patches': ['81.3%', '10.1%'],
        'kNN, patches': ['70.0%', '10.1%'],
    }


def test_the_report_contains_table_setting_times_and_versions(table, tmp_path):
    write_report(tmp_path / 'report.md', table, TRAINED, {'render': 2.0, 'train': 90.0},
                 **SETTING)
    report = (tmp_path / 'report.md').read_text()
    assert '\n'.join(table) in report
    for part in ('7 H.264 clips', '6 images', '  - MAE: Told.', '50 images', '400 test digits',
                 'seed 9', 'at most 2.5%', '| train | 1 min 30 s |', '| all | 1 min 32 s |',
                 ' cores', 'torch ', 'av '):
        assert part in report, part


def test_the_report_follows_the_setting(table, tmp_path):
    changed = dict(SETTING, rendered=dict(clips=8, stills=6))
    write_report(tmp_path / 'report.md', table, TRAINED, {'render': 2.0}, **changed)
    assert '8 H.264 clips' in (tmp_path / 'report.md').read_text()


def test_steps_are_numbered_and_timed(monkeypatch, capsys):
    now = [100.]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    steps = Steps(['render', 'train'])
    for seconds in (3, 62):
        with steps.step():
            now[0] += seconds
    assert steps.seconds == {'render': 3, 'train': 62}
    assert capsys.readouterr().err.splitlines() == [
        '[1/2] render', '      took 3 s', '[2/2] train', '      took 1 min 02 s']


def test_a_step_that_fails_is_not_said_to_be_done(capsys):
    with pytest.raises(RuntimeError), Steps(['render']).step():
        raise RuntimeError
    assert capsys.readouterr().err == '[1/1] render\n'
