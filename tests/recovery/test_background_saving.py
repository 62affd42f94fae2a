"""Training goes on while a checkpoint is written, and nothing else changes (promise 3)."""
import copy
import gc
import shutil
import threading
import time
import weakref
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.helpers.distributed import run_distributed
from tests.helpers.runs import FixedPairs, finish_saving, tiny_runner
from tests.recovery.test_finite_loss import one_of_two
from tests.recovery.test_kill_and_resume import assert_identical
from vicmae_mm.checkpoints import saving
from vicmae_mm.checkpoints.saving import CheckpointWriteError
from vicmae_mm.engine.hooks import FiniteLossHook, SafeCheckpointHook, safe_checkpoint_hook

FULL = 'no space The newest complete checkpoint is {}: free some space, then use --resume.'


def build(folder: Path, *hooks: Any, checkpoint: dict | None = None, **settings: Any) -> Runner:
    """Two epochs of six iterations; a checkpoint every second one, unless told otherwise."""
    hook = dict(type='vicmae_mm.SafeCheckpointHook', **(
        checkpoint or dict(by_epoch=False, interval=2)))
    return tiny_runner(folder, list(hooks), **{
        'dataset': FixedPairs(24), 'default_hooks': dict(checkpoint=hook, logger=None), **settings})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob('*.p*t*'))


def state(runner: Runner) -> dict:
    return copy.deepcopy(dict(state_dict=runner.model.state_dict(),
                              optimizer=runner.optim_wrapper.state_dict()))


class Slow(Hook):
    """A disk that has written a checkpoint only once training is two steps further."""

    priority = 'LOWEST'

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[int] = []
        self.states: dict[str, dict] = {}
        self.writing: list[str] = []
        self.waited: list[bool] = []
        self.copies: list[weakref.ref] = []
        self.at_once: list[int] = []
        self.further = threading.Event()
        self.stock = saving.write_checkpoint
        monkeypatch.setattr(saving, 'write_checkpoint', self.write)

    def write(self, checkpoint: dict, path: str) -> None:
        self.writing.append(Path(path).name)
        self.copies.append(weakref.ref(checkpoint['state_dict']['backbone.cls_token']))
        self.at_once.append(len(self.writing))
        if not path.endswith('iter_12.pth'):
            self.waited.append(self.further.wait(20))
            self.further.clear()
            time.sleep(.1)  # the next save has to wait
        self.stock(checkpoint, path)
        self.writing.pop()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Before an iteration that ends with a save, the last save ends."""
        if runner.iter % 2 and runner.iter > 1:
            self.steps.append(runner.iter)
            self.further.set()

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Keep the state that has been saved."""
        self.states[f'iter_{runner.iter + 1}.pth'] = state(runner)


def test_later_steps_change_nothing(tmp_path, monkeypatch):
    slow = Slow(monkeypatch)
    build(tmp_path, slow).train()
    assert slow.waited == [True] * 5 and slow.at_once == [1] * 6 and slow.steps == [3, 5, 7, 9, 11]
    assert len(names(tmp_path)) == 6
    gc.collect()
    assert not any(copy() is not None for copy in slow.copies)  # no memory is kept
    for path in tmp_path.glob('*.pth'):
        saved = torch.load(path, weights_only=False)
        for key, value in slow.states[path.name].items():
            assert_identical(dict(saved[key]), dict(value))


class AtOnce:
    """Stands in for a thread."""

    def __init__(self, *_: Any) -> None:
        self.future: Future[Any] = Future()

    def submit(self, call: Any) -> Future:
        """Call it."""
        self.future.set_result(call())
        return self.future


class Scores(Hook):
    """Stand in for a validation after each epoch."""

    def after_train_epoch(self, runner: Runner) -> None:
        """The second is better."""
        finish_saving(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Validate the epoch before."""
        if runner.epoch:
            runner.call_hook('after_val_epoch', metrics=dict(score=1. * runner.epoch))


@pytest.mark.parametrize('checkpoint', [
    dict(interval=1, mid_epoch_interval=2, max_keep_ckpts=2, save_best='score', rule='greater'),
    dict(by_epoch=False, interval=2, max_keep_ckpts=2)])
def test_files_are_those_of_a_run_that_waits(checkpoint, tmp_path, monkeypatch):
    runs, written, stock = [], {}, saving.write_checkpoint

    def write(content: dict, path: str) -> None:
        stock(content, path)
        written[path, len(written)] = comparable(torch.load(path, weights_only=False))

    monkeypatch.setattr(saving, 'write_checkpoint', write)
    for executor in (safe_checkpoint_hook.ThreadPoolExecutor, AtOnce):
        monkeypatch.setattr(safe_checkpoint_hook, 'ThreadPoolExecutor', executor)
        written.clear()
        build(tmp_path / 'run', dict(type='EMAHook'), FiniteLossHook(), Scores(), epochs=3,
              dataset=FixedPairs(12), checkpoint=checkpoint,
              experiment_name=f'{tmp_path.name} {executor.__name__}').train()
        runs.append((dict(written), names(tmp_path / 'run')))
        shutil.rmtree(tmp_path / 'run')
    assert len(written) >= 4
    assert_equal(*runs)


def comparable(content: dict) -> dict:
    """Without what differs between two runs."""
    content['meta'] = {key: content['meta'][key] for key in ('epoch', 'iter')}
    hub = content['message_hub']
    content['message_hub'] = [
        {name: value for name, value in hub['runtime_info'].items()
         if name not in ('cfg', 'eta', 'experiment_name')},
        {name: log.data for name, log in hub['log_scalars'].items() if 'time' not in name}]
    return content


def assert_equal(got: Any, want: Any) -> None:
    """As assert_identical, with arrays."""
    if hasattr(want, 'tobytes'):
        assert got.tobytes() == want.tobytes()
    elif isinstance(want, dict):
        assert [*got] == [*want]
        assert_equal([*got.values()], [*want.values()])
    elif isinstance(want, (list, tuple)):
        assert len(got) == len(want)
        for pair in zip(got, want, strict=True):
            assert_equal(*pair)
    else:
        assert_identical(got, want)


class StopAt(Hook):
    """Ctrl-C after an iteration."""

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """In the fifth."""
        if runner.iter == 4:
            raise KeyboardInterrupt


def test_what_ends_a_run_leaves_it_a_complete_checkpoint(tmp_path, monkeypatch):
    stock = saving.write_checkpoint

    def late(checkpoint: dict, path: str) -> None:
        if path.endswith('iter_4.pth'):
            assert stopped.wait(20)
        stock(checkpoint, path)

    stopped = threading.Event()
    monkeypatch.setattr(saving, 'write_checkpoint', late)
    runner = build(tmp_path, StopAt())
    log = runner.logger.info
    monkeypatch.setattr(runner.logger, 'info', lambda text: (
        log(text), text.startswith('Waiting until') and stopped.set()))
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert names(tmp_path) == ['iter_2.pth', 'iter_4.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_4.pth')
    hook, = (hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))
    assert hook.last_ckpt == str(tmp_path / 'iter_4.pth')
    resumed = build(tmp_path, resume=True, epochs=1)
    resumed.train()
    assert resumed._load_from == str(tmp_path / 'iter_4.pth')


class WaitThen(Hook):
    """Let the save in flight end before the third iteration; note the iterations."""

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Wait for its error, which is not raised here."""
        self.seen = runner.iter
        hook, = (hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))
        if runner.iter == 4:
            hook._save.exception()


def fail(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    stock = saving.write_checkpoint

    def write(checkpoint: dict, path: str) -> None:
        if path.endswith(name):
            raise OSError('no space')
        stock(checkpoint, path)

    monkeypatch.setattr(saving, 'write_checkpoint', write)


def test_an_error_stops_the_next_step(tmp_path, monkeypatch):
    fail(monkeypatch, 'iter_4.pth')
    hook = WaitThen()
    with pytest.raises(CheckpointWriteError) as caught:
        build(tmp_path, hook).train()
    assert str(caught.value) == FULL.format(tmp_path / 'iter_2.pth') and hook.seen == 4
    assert names(tmp_path) == ['iter_2.pth']


def test_an_error_of_a_run_that_ends_otherwise_is_logged(tmp_path, monkeypatch):
    fail(monkeypatch, 'iter_4.pth')
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, StopAt()).train()
    assert ' - no space\n' in next(tmp_path.rglob('*.log')).read_text()


def failing_runs(folder: str) -> list:
    seen = []
    for look in (5, 100):
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(safe_checkpoint_hook, '_LOOK_INTERVAL', look)
            fail(monkeypatch, 'iter_4.pth')
            hook = WaitThen()
            with pytest.raises((CheckpointWriteError, RuntimeError)) as caught:
                build(Path(folder) / str(look), hook, epochs=6, checkpoint=dict(
                    by_epoch=False, interval=4), **one_of_two()).train()
            seen += [str(caught.value), hook.seen]
    return seen


def test_all_processes_stop_when_they_meet(tmp_path):
    first, second = run_distributed(failing_runs, 2, str(tmp_path))
    message = 'no space There is no complete checkpoint yet.'
    # at the look in the fifth iteration; at the next save
    assert first == second == [message, 4, message, 7]


class BreakMoment(Hook):
    """Write NaN into the optimizer's state after the first epoch."""

    def after_train_epoch(self, runner: Runner) -> None:
        """Of the second."""
        if runner.epoch == 1:
            next(iter(runner.optim_wrapper.optimizer.state.values()))['exp_avg'].fill_(float('nan'))


def test_nothing_is_removed_for_one_that_is_refused(tmp_path):
    with pytest.raises(RuntimeError, match='No checkpoint is written after 12 iterations'):
        build(tmp_path, BreakMoment(), checkpoint=dict(interval=1, max_keep_ckpts=1)).train()
    assert names(tmp_path) == ['epoch_1.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_1.pth')
