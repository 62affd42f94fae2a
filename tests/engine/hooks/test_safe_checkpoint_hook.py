"""Which checkpoints exist at which time; that one is always complete: tests/recovery."""
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement

from tests.helpers.distributed import run_distributed
from tests.helpers.runs import FixedPairs, finish_saving, tiny_runner
from vicmae_mm.checkpoints import saving
from vicmae_mm.checkpoints.integrity import find_damage
from vicmae_mm.engine.hooks import SafeCheckpointHook, safe_checkpoint_hook


class Listing(Hook):
    """Note the checkpoints that are there after each iteration and epoch."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        """Note them."""
        finish_saving(runner)
        self.seen.append(checkpoints(Path(runner.work_dir)))

    def after_train_epoch(self, runner: Any) -> None:
        """Note them."""
        finish_saving(runner)
        self.seen.append(checkpoints(Path(runner.work_dir)))


class Scores(Hook):
    """Stand in for a validation after each epoch."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)

    def before_train_epoch(self, runner: Any) -> None:
        """Validate the epoch before."""
        if runner.epoch:
            runner.call_hook('after_val_epoch', metrics=dict(score=self.scores.pop(0)))


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.rglob('*.pth'))


def train(work_dir: Path, *hooks: Hook, epochs: int = 2, length: int = 12, resume: bool = False,
          **checkpoint: Any) -> None:
    """Three iterations an epoch."""
    hook = dict(type='vicmae_mm.SafeCheckpointHook', **{'interval': 1, **checkpoint})
    tiny_runner(work_dir, list(hooks), epochs=epochs, dataset=FixedPairs(length), resume=resume,
                default_hooks=dict(checkpoint=hook, logger=None)).train()


def test_within_an_epoch_the_newest_is_kept_until_it_ends(tmp_path):
    listing = Listing()
    train(tmp_path, listing, mid_epoch_interval=1)
    assert listing.seen == [
        ['iter_1'], ['iter_2'], ['iter_2'], ['epoch_1'],
        ['epoch_1', 'iter_4'], ['epoch_1', 'iter_5'], ['epoch_1', 'iter_5'],
        ['epoch_1', 'epoch_2']]


def test_leftover_of_a_kill_before_the_removal_is_removed_on_resuming(tmp_path):
    train(tmp_path, mid_epoch_interval=2, epochs=1)
    (tmp_path / 'iter_2.pth').write_bytes(b'as if killed once epoch_1.pth was complete')
    train(tmp_path, mid_epoch_interval=2, epochs=1, resume=True)
    assert checkpoints(tmp_path) == ['epoch_1']


def test_no_gradient_is_half_accumulated_in_a_file_within_an_epoch(tmp_path):
    listing = Listing()
    hook = dict(type='vicmae_mm.SafeCheckpointHook', interval=1, mid_epoch_interval=2)
    optim_wrapper = dict(optimizer=dict(type='SGD', lr=.1), accumulative_counts=3)
    tiny_runner(tmp_path, [listing], epochs=1, dataset=FixedPairs(28), optim_wrapper=optim_wrapper,
                default_hooks=dict(checkpoint=hook, logger=None)).train()
    assert listing.seen == [[], [], *[['iter_3']] * 3, *[['iter_6']] * 2, ['epoch_1']]


def test_position_in_the_file(tmp_path):
    class Stop(Hook):

        def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
            if runner.iter == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Stop(), mid_epoch_interval=2)
    meta = torch.load(tmp_path / 'iter_4.pth')['meta']
    assert (meta['epoch'], meta['iter']) == (1, 4)


@pytest.mark.parametrize('by_epoch, want', [
    (True, ['epoch_2', 'epoch_3']), (False, ['iter_8', 'iter_9'])])
def test_outdated_ones_are_removed(by_epoch, want, tmp_path):
    train(tmp_path, epochs=3, by_epoch=by_epoch, max_keep_ckpts=2)
    assert checkpoints(tmp_path) == want
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / f'{want[-1]}.pth')
    train(tmp_path, epochs=4, by_epoch=by_epoch, max_keep_ckpts=2, resume=True)
    assert len(checkpoints(tmp_path)) == 2


def test_last_is_saved_whatever_the_interval(tmp_path):
    train(tmp_path, epochs=3, interval=2)
    assert checkpoints(tmp_path) == ['epoch_2', 'epoch_3']


def test_other_folder_also_when_resuming(tmp_path):
    out = tmp_path / 'elsewhere'
    train(tmp_path / 'run', out_dir=str(out))
    assert checkpoints(tmp_path) == ['epoch_1', 'epoch_2'] == checkpoints(out / 'run')
    train(tmp_path / 'run', epochs=3, out_dir=str(out), resume=True)
    assert torch.load(out / 'run/epoch_3.pth')['meta']['iter'] == 9


def test_best_is_kept_until_the_next_is_complete(tmp_path, monkeypatch):
    train(tmp_path, Scores(1., 2., 1.5), epochs=4, save_best='score', rule='greater')
    assert 'best_score_epoch_2' in checkpoints(tmp_path)
    assert 'best_score_epoch_1' not in checkpoints(tmp_path)
    assert find_damage(tmp_path / 'best_score_epoch_2.pth') is None
    stock = saving.write_checkpoint

    def write(checkpoint: dict, path: str) -> None:
        if path.endswith('epoch_2.pth') and 'best_score_epoch_2' in checkpoints(tmp_path / 'b'):
            raise OSError('no space')  # between the new best one and what follows
        stock(checkpoint, path)

    monkeypatch.setattr(saving, 'write_checkpoint', write)
    with pytest.raises(saving.CheckpointWriteError, match='no space The newest complete'):
        train(tmp_path / 'b', Scores(1., 2.), epochs=4, save_best='score', rule='greater')
    assert {'best_score_epoch_1', 'best_score_epoch_2'} <= set(checkpoints(tmp_path / 'b'))


class Constant(BaseModel):
    """A model to validate."""

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'tensor') -> list:
        """Predict nothing."""
        return [BaseDataElement()]


class Score(BaseMetric):
    """A score that is always 1."""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        """Keep one result."""
        self.results.append(1)

    def compute_metrics(self, results: list) -> dict:
        """The score."""
        return dict(score=1.)


def test_validation_without_training_saves_nothing(tmp_path):
    hook = dict(type='vicmae_mm.SafeCheckpointHook', interval=1, save_best='auto')
    runner = tiny_runner(
        tmp_path, [], model=Constant(), default_hooks=dict(checkpoint=hook, logger=None),
        val_cfg=dict(), val_evaluator=Evaluator(Score()), val_dataloader=dict(
            batch_size=2, dataset=FixedPairs(4), sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate')))
    assert runner.val() == dict(score=1.) and checkpoints(tmp_path) == []


def test_new_run_among_old_checkpoints_is_reported(tmp_path):
    train(tmp_path, epochs=1)
    train(tmp_path, epochs=2, resume=True)
    logs = [path.read_text() for path in tmp_path.glob('*/*.log')]
    assert not any('earlier run' in log for log in logs)
    train(tmp_path, epochs=1)
    assert any(f'{tmp_path} contains checkpoints of an earlier run' in path.read_text()
               for path in tmp_path.glob('*/*.log'))


def test_published_ones_load(tmp_path):
    train(tmp_path, published_keys=['state_dict'])
    published, = tmp_path.glob('epoch_2-*.pth')
    assert torch.load(published).keys() == {'state_dict'}


class Store(LocalBackend):
    """A store of its own kind."""

    puts: list[str] = []

    def put(self, obj: bytes, filepath: Any) -> None:
        """Write, and note it."""
        self.puts.append(Path(filepath).name)
        super().put(obj, filepath)


def test_atomic_files_replace_local_writing_only(tmp_path):
    register_backend('vicmae_mm.test_store', Store, force=True)
    train(tmp_path, backend_args=dict(backend='vicmae_mm.test_store'), max_keep_ckpts=1)
    assert Store.puts == ['epoch_1.pth', 'epoch_2.pth'] and checkpoints(tmp_path) == ['epoch_2']


def test_interval_must_not_be_negative():
    with pytest.raises(ValueError, match='mid_epoch_interval=-1 must be a number of iterations'):
        SafeCheckpointHook(mid_epoch_interval=-1)


class Clock(Hook):
    """A clock that only training moves: a minute an iteration."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.minutes = 0
        monkeypatch.setattr(safe_checkpoint_hook, 'time', self)
        monkeypatch.setattr(safe_checkpoint_hook, '_LOOK_INTERVAL', 1)

    def monotonic(self) -> float:
        return 60. * self.minutes

    def before_train_iter(self, *_: Any, **__: Any) -> None:
        self.minutes += 1


@pytest.mark.parametrize('minutes, want', [
    # epochs of three minutes: the end of the first, then at least half the time apart
    (10, [[]] * 3 + [['epoch_1']] * 8 + [['epoch_1', 'epoch_3']]),
    (6, [[]] * 3 + [['epoch_1']] * 4 + [['epoch_1', 'epoch_2']] * 4
     + [['epoch_1', 'epoch_2', 'epoch_3']]),
    # of less than an epoch: within it, too
    (2, [[], ['iter_2'], ['iter_2'], ['epoch_1'], ['epoch_1'], ['epoch_1', 'iter_5'],
         ['epoch_1', 'iter_5'], ['epoch_1', 'epoch_2'], ['epoch_1', 'epoch_2'],
         ['epoch_1', 'epoch_2', 'iter_8'], ['epoch_1', 'epoch_2', 'iter_8'],
         ['epoch_1', 'epoch_2', 'epoch_3']]),
    (0, [[]] * 11 + [['epoch_3']])])
def test_checkpoints_by_time(tmp_path, monkeypatch, minutes, want):
    listing = Listing()
    train(tmp_path, Clock(monkeypatch), listing, epochs=3, interval=-1, interval_minutes=minutes)
    assert listing.seen == want


def test_by_time_after_whole_optimizer_steps_and_from_save_begin(tmp_path, monkeypatch):
    listing = Listing()
    hook = dict(type='vicmae_mm.SafeCheckpointHook', interval_minutes=1, save_begin=2)
    tiny_runner(tmp_path, [Clock(monkeypatch), listing], epochs=2, dataset=FixedPairs(20),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=.1), accumulative_counts=2),
                default_hooks=dict(checkpoint=hook, logger=None)).train()
    names = {name for names in listing.seen for name in names}
    assert names == {'iter_2', 'iter_4', 'iter_6', 'iter_8', 'epoch_2'}


def test_by_time_in_a_run_of_iterations(tmp_path, monkeypatch):
    listing = Listing()
    hook = dict(type='vicmae_mm.SafeCheckpointHook', interval_minutes=3)
    tiny_runner(tmp_path, [Clock(monkeypatch), listing],
                train_cfg=dict(by_epoch=False, max_iters=5),
                default_hooks=dict(checkpoint=hook, logger=None)).train()
    assert ['iter_3'] in listing.seen


def late(folder: str) -> list[str]:
    """Two processes, of which the second's clock says that everything is due."""
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        clock.minutes = 0
        if torch.distributed.get_rank():
            clock.monotonic = iter(range(0, 10**9, 10**6)).__next__
        hook = SafeCheckpointHook(interval_minutes=10)
        hook._saved_at = clock.monotonic()
        return [hook._is_due(1), hook._is_due(0.5)]


def test_the_main_process_decides():
    assert run_distributed(late, 2, '') == [[False, False]] * 2


@pytest.mark.parametrize('wrong', [-1, 'a', float('nan'), None])
def test_time_must_not_be_negative(wrong):
    with pytest.raises(ValueError, match=f'interval_minutes={wrong!r} must be a time'):
        SafeCheckpointHook(interval_minutes=wrong)
