"""Checks of the batch size: for the sampler, the last batch, negatives and the learning rate."""
from contextlib import suppress
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import EpochBasedTrainLoop

from vicmae_mm.commands.options import setting_at
from vicmae_mm.datasets.innermost import innermost_datasets
from vicmae_mm.datasets.segments import SegmentedDataset, cut_segments, video_durations
from vicmae_mm.engine.step_size import accumulated_batches, step_size
from vicmae_mm.models import InfoNCEHead
from vicmae_mm.utils.errors import InputError

from .findings import Findings
from .process import as_last_process

_MANY = 4


def collate(loader: Any, sampler: Any, samples: list, findings: Findings) -> dict[int, Any]:
    """Collated samples, by the size of the batch; of a large one as many as were read, or five."""
    batches = {}
    samples = samples[:1] + samples[:0:-1]  # even two are from both ends: different videos, if any
    if not _have_equal_views(samples, findings):
        return {}
    for size in _batch_sizes(loader, sampler, findings) if samples else ():
        # Not two of many: two tensors per sample would pass for the two views of two samples.
        many = max(_MANY, len(samples) + len(samples) % 2)
        number = size if size < many else many + size % 2
        with findings.catch('train_dataloader.collate_fn'):
            batches[size] = loader.collate_fn((samples * (_MANY + 1))[:number])
    return batches


def _have_equal_views(samples: list, findings: Findings) -> bool:
    """Whether the sources of a mix give views of the same number and size; an error if not."""
    views = {sample['data_samples'].source: ' and '.join(
                 'x'.join(map(str, view.shape)) for view in sample['inputs'])
             for sample in samples
             if isinstance(sample, dict) and hasattr(sample.get('data_samples'), 'source')}
    if is_mixed := len({*views.values()}) > 1:
        findings.error('the views of one sample should have the same number and size in all '
                       'sources, but are ' + ', '.join(
                           f'{each} in {source}' for source, each in views.items())
                       + ': correct their crops, num_frames or num_pairs')
    return not is_mixed


def _batch_sizes(loader: Any, sampler_settings: Any, findings: Findings) -> list[int]:
    """Sizes of the first and, if it is smaller, of the last batch of an epoch.

    Those of the process with the smallest share; an error where it has no batch.
    """
    sampler = loader.sampler
    size = loader.batch_size
    if size is None:  # a sampler of batches sets their size itself
        return [len(next(iter(loader.batch_sampler)))]
    with suppress(Exception), as_last_process():  # an error is known from the dataloader
        sampler = DATA_SAMPLERS.build(dict(sampler_settings),
                                      default_args=dict(dataset=loader.dataset, seed=0))
    own = len(sampler)
    if not own or (size > own and loader.drop_last):
        advice = advise_segments(loader.dataset, size) or (
            f'lower train_dataloader.batch_size to {own} or less' if own > 1 else
            'train on fewer processes' if len(loader.dataset) > 1 else
            'one sample trains only models without contrast and BatchNorm, with '
            'train_dataloader.batch_size=1; others need at least two')
        findings.error(f'{len(loader.dataset)} samples over {get_world_size()} process(es) do not '
                       f'fill one batch of {size}: {advice}')
    last = 0 if loader.drop_last or isinstance(sampler, InfiniteSampler) else own % size
    return [size, last] if last else [size]


def advise_segments(dataset: Any, size: int) -> str:
    """What to do if few videos do not fill a batch of each process; '' if cutting does not help."""
    paths = [each.get_data_info(index)['filename'] for each in innermost_datasets(dataset)
             if isinstance(each, SegmentedDataset) and each.segment_seconds is None
             for index in range(len(each))]
    number = sum(len(cut_segments(duration or 0, 10, 10)) or 1
                 for duration in video_durations(paths, None))
    return '' if number < size * get_world_size() else (
        f'set segment_seconds=10 in the dataset, which cuts its {len(paths):,} videos into '
        f'{number:,} samples')


def check_batch(runner: Any, size: int, num_views: int, findings: Findings) -> None:
    """Compare the batch size with the learning rate, and count the negatives.

    A batch has ``size`` samples on one process, of ``num_views`` frames or clips each.
    """
    _check_learning_rate(runner, findings)
    steps, loop = accumulated_batches(runner.optim_wrapper), runner._train_loop
    if getattr(runner.model, 'contrast_head', None) is not None:
        _check_negatives(runner, size, max(num_views // 2, 1), steps, findings)
    if isinstance(loop, EpochBasedTrainLoop) and len(loop.dataloader) % steps:
        findings.warn(
            f'accumulative_counts={steps} does not divide the {len(loop.dataloader):,} batches of '
            'an epoch: a checkpoint written at its end lacks the gradients accumulated so far')


def _check_learning_rate(runner: Any, findings: Findings) -> None:
    base = setting_at(runner.cfg, 'auto_scale_lr.base_batch_size')
    rate = setting_at(runner.cfg, 'optim_wrapper.optimizer.lr')
    if not (base and isinstance(rate, (int, float))) or setting_at(
            runner.cfg, 'auto_scale_lr.enable'):
        return
    # A batch that cannot be counted is an error only for --auto-scale-lr, which counts it, too.
    with suppress(InputError):
        size = step_size(runner, runner.optim_wrapper)
        if size.total != base:
            findings.warn(f'the learning rate {rate:g} is for {base:,} {size.noun} per step, but '
                          f'this run has {size.total:,}: --auto-scale-lr makes it '
                          f'{rate * size.total / base:g}')


def _check_negatives(runner: Any, size: int, pairs: int, steps: int, findings: Findings) -> None:
    head, total = runner.model.contrast_head, size * get_world_size()
    if isinstance(head, InfoNCEHead):
        check_overlap(runner._train_dataloader.dataset, head, findings)
        seen = total if head.gather else size
        negatives = head.num_negatives(size, pairs, get_world_size())
        findings.note(f'contrast: {"at most " if head.needs_identities else ""}{negatives:,} '
                      f'negatives per frame, from {seen:,} samples per step')
        if size == 1 and negatives:
            own = f'{pairs} pairs of one video' if pairs > 1 else '1 pair'
            findings.warn(f'{own} per process: all {negatives:,} negatives come from the other '
                          'processes')
    if steps > 1:
        findings.warn(
            f'accumulative_counts={steps} adds no negatives and no samples to BatchNorm: the '
            f'contrast sees the {total * pairs:,} pairs of one forward pass, not '
            f'{steps * total * pairs:,}; for more, raise train_dataloader.batch_size or the number '
            'of processes')


def check_overlap(dataset: Any, head: Any, findings: Findings) -> None:
    """Warn if a frame can be a negative of itself."""
    if head.same_video == 'negatives' and any(
            (each.segment_stride or 0) < (each.segment_seconds or 0)
            for each in innermost_datasets(dataset) if isinstance(each, SegmentedDataset)):
        findings.warn('segments overlap (segment_stride is below segment_seconds), and those of a '
                      'video are negatives of each other: raise segment_stride, or set '
                      "model.contrast_head.same_video='left_out'")
