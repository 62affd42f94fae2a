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
    than :class:`EpochSampler`, for samples without own random streams, and beyond ``max_epochs()``.
    """

    def __init__(self, loader: Any, max_epochs: Callable[[], int]) -> None:
        self._loader = loader
        self._indices = _Indices(getattr(loader, 'batch_sampler', None), max_epochs)
        self._running: Any = None

    def epoch(self, epoch: int, num_batches: int) -> Iterator[Any]:
        """The ``num_batches`` of an epoch, counted from 0, once hooks have prepared the sampler."""
        loader, (running, self._running) = self._loader, (self._running, None)
        if not self._can_read_ahead(epoch):
            yield from loader
            return
        if running is None or running is not loader._iterator:
            loader._iterator = None
            self._indices.expected.clear()
        if self._indices.expected.pop(epoch, None) != vars(loader.batch_sampler.sampler):
            running = None  # its workers end before others start
            running = self._start(epoch)
        yield from islice(running, num_batches)
        self._running = running  # all of its batches have been taken

    def _can_read_ahead(self, epoch: int) -> bool:
        loader, sampler = self._loader, getattr(self._indices.batches, 'sampler', None)
        return (isinstance(loader, DataLoader) and type(loader.batch_sampler) is BatchSampler
                and loader.num_workers > 0 and loader.persistent_workers
                # of a subclass, the order may depend on what training has found
                and type(sampler) is EpochSampler and sampler.epoch == epoch
                and isinstance(loader.dataset, BadFileSkipping | MixedPairs))

    def _start(self, epoch: int) -> Iterator[Any]:
        settings = vars(self._loader)  # DataLoader refuses to be changed: only the iterator is
        own = {name: settings[name] for name in ('batch_sampler', 'collate_fn')}
        self._indices.first = epoch
        settings.update(batch_sampler=self._indices, collate_fn=ring_collate(self._loader))
        try:
            return iter(self._loader)
        finally:
            settings.update(own)


class _Indices:
    """The indices of an iterator's batches. Without reference to it, so that it ends when unused.

    Begins with the epoch ``first`` and reads on; if that is None, because someone else iterates
    over the dataloader, gives the sampler's epoch. ``expected``: its attributes by epoch, ahead.
    """

    def __init__(self, batches: Any, max_epochs: Callable[[], int]) -> None:
        self.batches = batches
        self.first: int | None = None
        self.expected: dict[int, dict[str, Any]] = {}
        self._max_epochs = max_epochs

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        self.expected.clear()
        first, self.first = self.first, None
        if first is None:
            yield from self.batches
            return
        batches = copy(self.batches)
        for epoch in count(first):
            # A copy: the loop and its hooks set the epoch of the original when it begins.
            batches.sampler = sampler = copy(self.batches.sampler)
            if epoch > first:
                sampler.set_epoch(epoch)
                sampler.start_at(0)
                self.expected[epoch] = dict(vars(sampler))
            yield from batches
            if epoch + 1 >= self._max_epochs():
                return


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
