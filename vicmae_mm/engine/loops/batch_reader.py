"""Batches of a run: read over the ends of epochs, and copied to the GPU while it computes."""
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from itertools import count, islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader

from vicmae_mm.datasets.bad_videos.skipping_dataset import BadFileSkipping
from vicmae_mm.datasets.mixed_pairs import MixedPairs
from vicmae_mm.datasets.samplers import EpochSampler
from vicmae_mm.utils.processes.batch_ring import ring_collate


class BatchReader:
    """Reads a dataloader epoch by epoch, without waiting at the start of each.

    torch's workers are idle from the last index of an epoch to the first of the next. Here they
    read on, because a :class:`SampleIndex` carries its epoch: samples and their order stay the
    same. If a hook changes the sampler, or resets or uses the dataloader's iterator, the workers
    begin the epoch again. Nothing is read ahead without persistent workers, with other samplers
    than :class:`EpochSampler`, for samples without random streams of their own, and after the
    last epoch.

    Args:
        loader: The dataloader, or anything that can be iterated over.
        max_epochs: Returns the number of epochs, which hooks may change.
    """

    def __init__(self, loader: Any, max_epochs: Callable[[], int]) -> None:
        self._loader = loader
        self._indices = _Indices(getattr(loader, 'batch_sampler', None), max_epochs)
        self._running: Any = None

    def epoch(self, epoch: int, num_batches: int) -> Iterator[Any]:
        """The ``num_batches`` of an epoch, counted from 0, once hooks have prepared the sampler."""
        loader, expected = self._loader, self._indices.expected.pop(epoch, None)
        if not isinstance(loader, DataLoader):
            yield from loader
            return
        own: Any = loader.batch_sampler
        if not self._can_read_ahead(epoch):
            self._running = None
            yield from self._iterator(own)
            return
        if self._running is not loader._iterator:
            loader._iterator = expected = None
        if not _is_same(vars(own.sampler), expected):
            self._running = None  # its workers end before others start
            self._indices.first = epoch
            self._running = self._iterator(self._indices)
            self._indices.first = None
        running, self._running = self._running, None  # until all of its batches have been taken
        yield from islice(running, num_batches)
        self._running = running

    def _can_read_ahead(self, epoch: int) -> bool:
        loader = self._loader
        sampler = getattr(loader.batch_sampler, 'sampler', None)
        return (loader.num_workers > 0 and loader.persistent_workers
                and type(loader.batch_sampler) is BatchSampler
                and isinstance(sampler, EpochSampler) and sampler.epoch == epoch
                and isinstance(loader.dataset, BadFileSkipping | MixedPairs))

    def _iterator(self, batch_sampler: Any) -> Iterator[Any]:
        """An iterator with these batches, whose workers collate them into a ring."""
        settings = vars(self._loader)  # DataLoader refuses to be changed: only the iterator is
        own = {name: settings[name] for name in ('batch_sampler', 'collate_fn')}
        settings.update(batch_sampler=batch_sampler, collate_fn=ring_collate(self._loader))
        try:
            return iter(self._loader)
        finally:
            settings.update(own)


class _Indices:
    """The indices of the running iterator's batches. It has no reference to that iterator."""

    def __init__(self, batch_sampler: Any, max_epochs: Callable[[], int]) -> None:
        self._batch_sampler = batch_sampler
        self._max_epochs = max_epochs
        self.first: int | None = None  # while an iterator is made that begins with this epoch
        self.expected: dict[int, dict[str, Any]] = {}  # attributes of the sampler, by epoch

    def __iter__(self) -> Iterator[list[int]]:
        self.expected.clear()
        # Whoever else iterates over the dataloader resets our iterator, and gets one epoch.
        return iter(self._batch_sampler) if self.first is None else self._from(self.first)

    def _from(self, first: int) -> Iterator[list[int]]:
        batches = copy(self._batch_sampler)
        for epoch in count(first):
            if epoch > first and epoch >= self._max_epochs():
                break
            # A copy: the loop and its hooks set the epoch of the original when it begins.
            batches.sampler = sampler = copy(self._batch_sampler.sampler)
            if epoch > first:
                sampler.set_epoch(epoch)
                sampler.start_at(0)
                self.expected[epoch] = dict(vars(sampler))
            yield from batches


def _is_same(now: dict[str, Any], expected: dict[str, Any] | None) -> bool:
    return expected is not None and now.keys() == expected.keys() and all(
        value is now[name] or (isinstance(value, int) and value == now[name])
        for name, value in expected.items())


def copied_ahead(batches: Iterator[Any], preprocessor: Any) -> Iterator[Any]:
    """Move the inputs of batches to the preprocessor's GPU on a stream of their own.

    Steps are computed asynchronously: the copy of a batch then runs beside the step before it,
    instead of after it. Without a GPU the batches stay as they are.
    """
    device = getattr(preprocessor, 'device', None)
    if device is None or device.type != 'cuda':
        yield from batches
        return
    stream, last = torch.cuda.Stream(device), [None]  # the inputs before they were copied
    for batch in batches:
        if isinstance(batch, Mapping) and 'inputs' in batch:
            with torch.cuda.stream(stream):
                # Drops the batch before, in whose ring the GPU reads until this stream is done.
                last[0] = inputs = batch['inputs']
                inputs = preprocessor.cast_data(inputs)
            model_stream = torch.cuda.current_stream(device)
            model_stream.wait_stream(stream)
            for view in inputs if isinstance(inputs, list) else [inputs]:
                if isinstance(view, Tensor):
                    view.record_stream(model_stream)  # or its memory might be reused too early
            batch = dict(batch, inputs=inputs)
        yield batch
