"""curves.png in the work dir: when it is drawn, and that it costs no training."""
import pytest

from tests.helpers.runs import tiny_runner
from vicmae_mm.engine.hooks import curves_hook
from vicmae_mm.visualization.curves import plot_curves, read_train_scalars

HOOK = dict(type='vicmae_mm.CurvesHook', interval_minutes=0)


@pytest.fixture
def steps_drawn(monkeypatch) -> list[int]:
    """The last step in each picture drawn."""
    drawn = []
    monkeypatch.setattr(curves_hook, 'plot_curves', lambda paths, png: drawn.append(
        int(read_train_scalars(paths)[-1]['step'])))
    return drawn


@pytest.mark.parametrize('minutes, steps', [(0, [2, 4, 6]), (1.5, [4, 6]), (9, [6])])
def test_drawn_by_time_and_at_the_end_with_the_latest_scalars(
        tmp_path, steps_drawn, monkeypatch, minutes, steps):
    seconds = iter(range(60, 9999, 60))  # a minute passes whenever somebody looks
    monkeypatch.setattr(curves_hook.time, 'monotonic', lambda: 60. * len(steps_drawn) + next(
        seconds)) if minutes else None
    tiny_runner(tmp_path, [HOOK | dict(interval_minutes=minutes)], epochs=3).train()
    assert steps_drawn == steps


def test_iteration_based_loop(tmp_path, steps_drawn):
    tiny_runner(tmp_path, [HOOK], train_cfg=dict(by_epoch=False, max_iters=3)).train()
    assert steps_drawn[-1] == 3


def test_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(curves_hook, 'plot_curves', plot_curves)  # tests/conftest.py spares it
    tiny_runner(tmp_path, [HOOK]).train()
    assert (tmp_path / 'curves.png').stat().st_size > 10_000


def test_without_local_backend_nothing_is_drawn(tmp_path, steps_drawn):
    tiny_runner(tmp_path, [HOOK], epochs=1, backends=('TensorboardVisBackend', )).train()
    assert steps_drawn == []


def test_failure_costs_no_training(tmp_path, monkeypatch):
    def full_disk(*args) -> None:
        raise OSError('No space left on device')

    monkeypatch.setattr(curves_hook, 'plot_curves', full_disk)
    runner = tiny_runner(tmp_path, [HOOK])
    runner.train()
    assert runner.iter == 4
    assert 'curves.png could not be drawn' in next(tmp_path.glob('*/*.log')).read_text()
