"""BatchReader next to iterating over the dataloader in every epoch; copying ahead to a GPU."""
import time
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch
from mmengine.dataset import DefaultSampler, default_collate
from torch.utils.data import DataLoader

from vicmae_mm.datasets import EpochSampler, SeededSamples
from vicmae_mm.engine.loops import batch_reader
from vicmae_mm.engine.loops.batch_reader import BatchReader, copied_ahead

EPOCHS = 3


class StoredOrder(EpochSampler):
    """A user's sampler, with an array for each epoch."""

    def set_epoch(self, epoch):
        super().set_epoch(epoch)
        self.order = torch.arange(14).roll(epoch).numpy()

    def _order(self):
        return self.order.take


class Numbers:
    """Random numbers; notes in a file what is read, and fails where it is told to."""

    def __init__(self, notes=None, length=14, bad=None):
        self.notes, self.length, self.bad = notes, length, bad

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        epoch = getattr(index, 'epoch', None)
        if self.notes:
            with open(self.notes, 'a') as file:
                file.write(f'{epoch}\n')
        if epoch is not None and epoch == self.bad:
            raise ValueError('bad sample')
        return dict(inputs=torch.rand(3) + index, data_samples=torch.tensor(self.length))


def make(dataset, sampler=EpochSampler, workers=3, persistent=True, drop_last=True):
    """A dataloader, and the function that reads one of its epochs."""
    loader = DataLoader(
        dataset, 4, sampler=sampler(dataset, seed=3), num_workers=workers, drop_last=drop_last,
        persistent_workers=persistent, collate_fn=partial(default_collate))
    return loader, BatchReader(loader, lambda: EPOCHS)


def read(loader, batches, epoch, start=0):
    """An epoch as the loop reads it."""
    loader.sampler.set_epoch(epoch)
    if isinstance(loader.sampler, EpochSampler):
        loader.sampler.start_at(4 * start)
    return [(batch['inputs'].tolist(), batch['data_samples'].tolist()) for batch in batches(
        epoch, len(loader) - start)]


@pytest.mark.parametrize('settings', [
    {}, dict(drop_last=False), dict(workers=1), dict(persistent=False),
    dict(workers=0, persistent=False), dict(sampler=DefaultSampler), dict(seeded=False),
    dict(sampler=StoredOrder, seeded=True)], ids=str)
def test_same_batches(settings):
    def dataset():
        return SeededSamples(Numbers()) if seeded else Numbers()

    seeded = settings.pop('seeded', settings.get('sampler') is None)
    torch.manual_seed(0)
    plain, _ = make(dataset(), **settings)
    start = 1 if 'sampler' not in settings else 0  # as if resumed
    expected = [read(plain, lambda *_: plain, epoch, start * (not epoch))
                for epoch in range(EPOCHS)]
    torch.manual_seed(0)
    loader, reader = make(dataset(), **settings)
    assert expected == [read(loader, reader.epoch, epoch, start * (not epoch))
                        for epoch in range(EPOCHS)]


def test_next_epoch_is_read_while_the_model_is_elsewhere(tmp_path):
    loader, reader = make(SeededSamples(Numbers(tmp_path / 'notes')))
    read(loader, reader.epoch, 0)
    deadline = time.monotonic() + 60
    while '1' not in (tmp_path / 'notes').read_text() and time.monotonic() < deadline:
        time.sleep(.01)
    read(loader, reader.epoch, 1)
    read(loader, reader.epoch, 2)
    # all that will be read: nothing twice, nothing after the last epoch
    assert sorted((tmp_path / 'notes').read_text().split()) == sorted('012' * 12)


def change_seed(loader):
    """As no hook of ours."""
    loader.sampler.seed = 8


def replace_dataset(loader):
    """As mmpretrain's SwitchRecipeHook."""
    loader.dataset.dataset.length = 13
    loader._iterator = None


def take_a_batch(loader):
    """As mmpretrain's PreciseBNHook."""
    next(iter(loader))


@pytest.mark.parametrize('hook', [change_seed, replace_dataset, take_a_batch])
def test_what_a_hook_changes_begins_with_its_epoch(hook):
    results = []
    for ahead in (False, True):
        loader, reader = make(SeededSamples(Numbers()))
        batches = reader.epoch if ahead else lambda *_, loader=loader: loader
        results.append([read(loader, batches, 0)])
        hook(loader)
        results[-1] += [read(loader, batches, epoch) for epoch in (1, 2)]
    assert results[0] == results[1]


def test_error_belongs_to_its_epoch():
    loader, reader = make(SeededSamples(Numbers(bad=1)))
    assert len(read(loader, reader.epoch, 0)) == 3
    with pytest.raises(ValueError, match='bad sample'):
        read(loader, reader.epoch, 1)
    loader._iterator._shutdown_workers()  # not by the garbage collector, which takes 15 s


def test_copies_run_beside_the_step_before(monkeypatch):
    """The order of calls; on a GPU it has not been run."""
    calls = MagicMock()
    current = []

    @contextmanager
    def stream(entered):
        current.append(entered)
        yield
        current.pop()

    class View(torch.Tensor):
        """A tensor on a GPU that does not exist."""

        def record_stream(self, used_by):
            """Note it."""
            calls.record(used_by)

    def cast(inputs):
        calls.copy(*current)
        return [view.as_subclass(View) for view in inputs]

    cuda = SimpleNamespace(Stream=lambda device: 'side', stream=stream,
                           current_stream=lambda device: calls.main)
    monkeypatch.setattr(batch_reader.torch, 'cuda', cuda)
    gpu = SimpleNamespace(device=torch.device('cuda'), cast_data=cast)
    batches = [dict(inputs=[torch.zeros(1), torch.ones(1)], data_samples=1), 'other']
    first, second = copied_ahead(iter(batches), gpu)
    assert first['inputs'][1].item() == 1 and first['data_samples'] == 1 and second == 'other'
    assert [call[0] for call in calls.mock_calls] == ['copy', 'main.wait_stream', *['record'] * 2]
    assert calls.copy.call_args.args == ('side', )
    assert calls.main.wait_stream.call_args.args == ('side', )
    assert calls.record.call_args.args == (calls.main, )
    cpu = SimpleNamespace(device=torch.device('cpu'))
    assert list(copied_ahead(iter(batches), cpu)) == batches
