"""Batches in a ring next to those of mmengine's default_collate."""
import multiprocessing
import os
import pickle
import signal
from functools import partial
from unittest.mock import MagicMock, call

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from vicmae_mm.utils.processes import batch_ring
from vicmae_mm.utils.processes.batch_ring import BatchRing, ring_collate


def sample(value, views=2, shape=(3, 4, 5), dtype=torch.uint8):
    """Views of one value, and a described sample."""
    inputs = [torch.full(shape, value + 10 * view).to(dtype) for view in range(views)]
    described = DataSample()
    described.set_metainfo(dict(filename=f'{value}.mp4', video_id=value))
    return dict(inputs=inputs, data_samples=described, label=value)


def through(ring, samples):
    """What the training process receives."""
    return pickle.loads(pickle.dumps(ring.collate(samples)))


def same(left, right):
    """Whether batches are equal, including their order."""
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return [*left] == [*right] and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left.to_dict() == right.to_dict()


STACKED = {
    'pair': [sample(1), sample(2)],
    'four views': [sample(1, 4), sample(2, 4)],
    'list of one frame': [sample(1, 1), sample(2, 1)],
    'frame': [dict(each, inputs=each['inputs'][0]) for each in (sample(1), sample(2))],
    'clips': [sample(value, shape=(3, 16, 4, 5)) for value in (1, 2)],
    'stacked views of floats': [
        dict(each, inputs=torch.stack(each['inputs'])) for each in (
            sample(1, dtype=torch.float32), sample(2, dtype=torch.float32))],
    'a large and a small view': [
        dict(inputs=[torch.full((3, 5), value), torch.full((2, ), value)]) for value in (1, 2)],
    'a short batch': [sample(1)],
}
NOT_STACKED = {
    'too many': [sample(value % 200) for value in range(200)],
    'numbers': [1, 2],
    'no inputs': [dict(label=1)],
    'arrays': [dict(inputs=np.ones(3)), dict(inputs=np.ones(3))],
    'tuples': [dict(inputs=(torch.ones(3), )), dict(inputs=(torch.ones(3), ))],
    'no views': [dict(inputs=[]), dict(inputs=[])],
}


@pytest.mark.parametrize('name', [*STACKED, *NOT_STACKED])
def test_same_as_default_collate(name):
    ring = BatchRing(2, 2)
    # the slots of all cases but one are as large as their batches
    through(ring, [sample(1), sample(2)]) if name in ('too many', 'a short batch') else None
    samples = (STACKED | NOT_STACKED)[name]
    batch = through(ring, samples)
    assert same(batch, default_collate(samples))
    assert ring._in_use.sum() == (name in STACKED)


@pytest.mark.parametrize('samples', [
    [sample(1), sample(2, 3)], [sample(1), sample(2, shape=(3, 5, 5))],
    [sample(1), dict(sample(2), inputs=sample(2)['inputs'][0])]])
def test_samples_that_do_not_match_are_an_error_as_ever(samples):
    for collate in (default_collate, BatchRing(2, 2).collate):
        with pytest.raises((RuntimeError, TypeError, ValueError)):
            collate(samples)


def test_nothing_that_is_held_is_overwritten():
    ring, kept = BatchRing(2, 2), []
    for value in range(5):  # two in slots, three as torch sends them
        kept.append(through(ring, [sample(value), sample(value)])['inputs'])
    assert all(view.unique().tolist() == [value + 10 * position]
               for value, views in enumerate(kept) for position, view in enumerate(views))
    view = kept[0][1][0, :, 2]  # a part of a part is enough to hold a batch
    del kept[0]
    through(ring, [sample(7), sample(7)])
    assert view.unique().tolist() == [10] and ring._in_use.tolist() == [1, 1]
    del view
    assert ring._in_use.tolist() == [0, 1]
    view = kept.pop(0)[0]
    number, ring = id(ring), None  # the loader is gone, but not the batch
    assert view.unique().tolist() == [1] and number in batch_ring._rings
    del view
    assert number not in batch_ring._rings


def test_locked_memory_is_free_when_it_has_been_copied(monkeypatch):
    """The order of calls; on a GPU it has not been run."""
    calls = MagicMock()
    calls.cudaHostRegister.return_value = 0
    monkeypatch.setattr(torch.cuda, 'cudart', lambda: calls)
    monkeypatch.setattr(torch.cuda, 'Event', lambda: calls)
    ring = BatchRing(2, 2, lock=True)
    calls.synchronize.side_effect = lambda: calls.still_in_use(ring._in_use.sum())
    batch = through(ring, [sample(1), sample(2)])
    address, size, _ = calls.cudaHostRegister.call_args.args
    assert address == batch['inputs'][0].data_ptr() and size == 2 * ring._slot_size[0]
    calls.reset_mock()
    del batch
    assert calls.mock_calls == [call.record(), call.synchronize(), call.still_in_use(1)]
    assert not ring._in_use.any()
    calls.synchronize.side_effect = ring = None
    assert calls.mock_calls[-1] == call.cudaHostUnregister(address)


def test_memory_that_cannot_be_locked(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'cudart', MagicMock)  # returns no 0
    monkeypatch.setattr(torch, 'zeros', lambda *_, device: None)
    ring = BatchRing(2, 2, lock=True)
    assert same(through(ring, [sample(1), sample(2)]), default_collate([sample(1), sample(2)]))
    assert not ring._is_locked and not ring._in_use.any()


class Pairs:
    """Pairs for workers; kills one where it is told to."""

    def __init__(self, killed=None):
        self.killed = killed

    def __len__(self):
        return 24

    def __getitem__(self, index):
        if index == self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        return sample(index)


def loader(dataset=None, collate=default_collate, **settings):
    """A dataloader as mmengine builds it, with a ring."""
    built = DataLoader(dataset or Pairs(), 2, collate_fn=partial(collate), **dict(
        dict(num_workers=2, persistent_workers=True), **settings))
    built.collate_fn = ring_collate(built)
    return built


def test_two_loaders_with_workers():
    first, second = loader(), loader()
    for _ in range(2):
        kept = list(zip(first, second, strict=True))
        assert all(same(batch, default_collate([sample(2 * number), sample(2 * number + 1)]))
                   for number, batches in enumerate(kept) for batch in batches)
        in_use = first.collate_fn.__self__._in_use
        assert in_use.all()  # all slots, and further batches
        del kept
        assert not in_use.any()


def read_from_a_worker_that_dies():
    """Ends with 7 for the errors of torch's DataLoader."""
    try:
        list(loader(Pairs(killed=9)))
    except (RuntimeError, ConnectionError, EOFError):  # as without a ring
        os._exit(7)


def test_worker_that_is_killed():
    # in another process, because torch may raise an error once more when it ends the others
    process = multiprocessing.get_context('fork').Process(target=read_from_a_worker_that_dies)
    process.start()
    process.join(60)
    assert process.exitcode == 7


@pytest.mark.parametrize('settings', [
    dict(num_workers=0, persistent_workers=False), dict(persistent_workers=False),
    dict(collate=pseudo_collate), dict(multiprocessing_context='spawn')])
def test_loaders_without_a_ring(settings):
    built = loader(**settings)
    assert isinstance(built.collate_fn, partial)


def test_system_without_such_memory(monkeypatch):
    def fail(name):
        raise OSError('no more files')

    monkeypatch.setattr(os, 'memfd_create', fail)
    assert isinstance(loader().collate_fn, partial)
