"""How many samples a step of the optimizer is made of: what its learning rate is for."""
import math
from dataclasses import dataclass
from typing import Any

from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from vicmae_mm.engine.runner_access import innermost_datasets
from vicmae_mm.utils.errors import InputError


@dataclass(frozen=True)
class StepSize:
    """The factors of an optimizer's batch.

    A sample of pre-training is its pairs (``num_pairs`` of ``SampleFramePair``). A video whose
    clips are drawn several times by ``RepeatAug`` is one sample, as in VideoMAE's learning rates.

    Args:
        batch: Samples in a batch of one process.
        pairs: Pairs in a sample; 1 for samples that are no pairs.
        processes: Number of processes.
        accumulated: Batches per step (``accumulative_counts``).
        noun: What is counted.
    """

    batch: int
    pairs: int
    processes: int
    accumulated: int
    noun: str

    @property
    def per_process(self) -> int:
        """Those of one process."""
        return self.batch * self.pairs * self.accumulated

    @property
    def total(self) -> int:
        """Those of all processes, to be compared with ``auto_scale_lr.base_batch_size``."""
        return self.per_process * self.processes

    @property
    def simultaneous(self) -> int:
        """Those of one forward pass over all processes."""
        return self.batch * self.pairs * self.processes

    def __str__(self) -> str:
        """The total and how it comes about."""
        factors = [f'{self.batch:,} per batch', f'{self.processes:,} process(es)']
        if self.pairs > 1:
            factors.insert(0, f'{self.pairs:,} pairs per video')
            factors[1] = f'{self.batch:,} videos per batch'
        if self.accumulated > 1:
            factors.append(f'{self.accumulated:,} accumulated batches')
        return f'{self.total:,} {self.noun} per optimizer step ({" x ".join(factors)})'


def step_size(runner: Runner, optim_wrapper: Any) -> StepSize:
    """Count the batch of one of a runner's optimizers, whose training loop is built.

    Raises:
        ValueError: Batches differ in size, or the samples of several datasets in pairs.
    """
    loader: Any = runner.train_dataloader
    # A sampler of batches may have a size, too; DataLoader.batch_size is None then.
    # What mmpretrain's vis_scheduler.py passes for a loader has neither.
    batch = getattr(loader, 'batch_size', None) or getattr(
        getattr(loader, 'batch_sampler', None), 'batch_size', None)
    if not isinstance(batch, int):
        raise InputError('train_dataloader.batch_sampler makes batches of different sizes, so the '
                         'samples per optimizer step cannot be counted.')
    counts = {_num_pairs(dataset) for dataset in innermost_datasets(loader.dataset)}
    if len(counts) > 1:
        raise InputError('The datasets of train_dataloader differ in num_pairs, so the pairs per '
                         'optimizer step cannot be counted: set the same number in all.')
    pairs = counts.pop()
    return StepSize(batch, pairs or 1, runner.world_size,
                    accumulated_batches(optim_wrapper), 'samples' if pairs is None else 'pairs')


def each_wrapper(optim_wrapper: Any) -> list[Any]:
    """The wrappers of a model's optimizers, of which there may be several."""
    several = isinstance(optim_wrapper, OptimWrapperDict)
    return list(optim_wrapper.values()) if several else [optim_wrapper]


def accumulated_batches(optim_wrapper: Any) -> int:
    """Batches after which every optimizer has just taken a step (``accumulative_counts``)."""
    return math.lcm(*(
        getattr(wrapper, '_accumulative_counts', 1) for wrapper in each_wrapper(optim_wrapper)))


def _num_pairs(dataset: Any) -> int | None:
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    return next((each.num_pairs for each in transforms if hasattr(each, 'num_pairs')), None)
