"""How many samples a step of the optimizer is made of: what its learning rate is for."""
import math
from typing import Any, NamedTuple

from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from vicmae_mm.datasets.innermost import innermost_datasets
from vicmae_mm.models import ViCMAE
from vicmae_mm.utils.errors import InputError

from .runner_access import unwrapped_model


class StepSize(NamedTuple):
    """The factors of an optimizer's batch; ``pairs`` are those of a video, 1 for other samples."""

    batch: int
    pairs: int
    processes: int
    accumulated: int
    noun: str = 'samples'  # what the product counts

    @property
    def per_process(self) -> int:
        """Pairs (or samples) of one process."""
        return self.batch * self.pairs * self.accumulated

    @property
    def simultaneous(self) -> int:
        """Pairs (or samples) of one forward pass over all processes."""
        return self.batch * self.pairs * self.processes

    @property
    def total(self) -> int:
        """Pairs (or samples), to be compared with ``auto_scale_lr.base_batch_size``."""
        return math.prod(self[:4])

    def __str__(self) -> str:
        """The total and its factors."""
        names = ('per batch', 'pairs per video', 'process(es)', 'accumulated batches')
        factors = [f'{factor:,} {name}' for factor, name in zip(self[:4], names, strict=True)
                   if factor > 1 or name not in names[1::2]]
        return f'{self.total:,} {self.noun} per optimizer step ({" x ".join(factors)})'


def step_size(runner: Runner, optim_wrapper: Any) -> StepSize:
    """Count the batch of one of a runner's optimizers, whose training loop is built.

    A video whose clips ``RepeatAug`` draws several times is one sample, as for VideoMAE's rates.
    A ValueError if batches differ in size, or the samples of several datasets in pairs.
    """
    loader: Any = runner.train_dataloader
    # A sampler of batches may have a size, too; DataLoader.batch_size is None then.
    # mmpretrain's vis_scheduler.py passes a list for a loader, which has neither.
    batch = getattr(loader, 'batch_size', None) or getattr(
        getattr(loader, 'batch_sampler', None), 'batch_size', None)
    datasets = innermost_datasets(loader.dataset) if batch else ()
    model = unwrapped_model(runner)
    takes_pairs = isinstance(model, ViCMAE)
    pairs = {_num_pairs(dataset, takes_pairs) for dataset in datasets}
    if not isinstance(batch, int) or len(pairs) > 1:
        raise InputError('The samples per optimizer step cannot be counted: the batches of '
                         'train_dataloader differ in size, or its datasets in num_pairs.')
    number = pairs.pop()
    noun = 'pairs' if number > 1 or getattr(model, 'contrast_head', None) else 'samples'
    return StepSize(batch, number, runner.world_size, accumulated_batches(optim_wrapper), noun)


def _num_pairs(dataset: Any, takes_pairs: bool) -> int:
    for transform in getattr(getattr(dataset, 'pipeline', None), 'transforms', ()):
        if hasattr(transform, 'num_pairs'):
            return transform.num_pairs
        # mmaction2's SampleFrames: consecutive clips are the pairs.
        if takes_pairs and hasattr(transform, 'num_clips'):
            return max(transform.num_clips // 2, 1)
    return 1


def each_wrapper(optim_wrapper: Any) -> list[Any]:
    """The wrappers of a model's optimizers, of which there may be several."""
    several = isinstance(optim_wrapper, OptimWrapperDict)
    return list(optim_wrapper.values()) if several else [optim_wrapper]


def accumulated_batches(optim_wrapper: Any) -> int:
    """Batches after which every optimizer has just taken a step (``accumulative_counts``)."""
    return math.lcm(*(
        getattr(wrapper, '_accumulative_counts', 1) for wrapper in each_wrapper(optim_wrapper)))
