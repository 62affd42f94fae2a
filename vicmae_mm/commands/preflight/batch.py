"""Checks of the batch size: for the dataset, BatchNorm, negatives and the learning rate."""
from typing import Any

from mmengine.config import Config
from torch import nn

from .findings import Findings


def check_batch(cfg: Config, model: nn.Module | None, num_samples: int, num_views: int,
                processes: int, findings: Findings) -> None:
    """Compare the batch size with everything that depends on it.

    Args:
        model: None if it could not be built.
        num_samples: Size of the training dataset; 0 if unknown.
        num_views: Frames per pre-training sample.
        processes: How many will train.
    """
    size = cfg.train_dataloader.get('batch_size', 1)
    if not isinstance(size, int) or size < 1:
        # A sampler of batches sets their size itself.
        if cfg.train_dataloader.get('batch_sampler') is None:
            findings.error(f'train_dataloader.batch_size={size!r} must be a positive integer')
        return
    _check_epoch(cfg, size, num_samples, processes, findings)
    _check_learning_rate(cfg, size * processes, findings)
    if model is not None:
        _check_batch_norm(model, size, processes, findings)
        _check_negatives(cfg, model, size, max(num_views // 2, 1), processes, findings)


def _check_epoch(cfg: Config, size: int, num_samples: int, processes: int,
                 findings: Findings) -> None:
    own, rest = divmod(num_samples, processes)
    # mmengine's DefaultSampler repeats samples until all processes have the same number.
    if (cfg.train_dataloader.get('sampler') or {}).get('round_up', True) and rest:
        own += 1
    if num_samples and size > own and cfg.train_dataloader.get('drop_last'):
        advice = (f'lower train_dataloader.batch_size to {own} or less' if own else
                  'train on fewer processes')
        findings.error(f'{num_samples} samples over {processes} process(es) do not fill one batch '
                       f'of {size}: {advice}')


def _check_learning_rate(cfg: Config, size: int, findings: Findings) -> None:
    scaling = cfg.get('auto_scale_lr') or {}
    base = scaling.get('base_batch_size')
    rate = ((cfg.get('optim_wrapper') or {}).get('optimizer') or {}).get('lr')
    if not base or not rate or scaling.get('enable') or base == size:
        return
    findings.warn(f'the learning rate {rate:g} is for {base:,} samples per step, but this run has '
                  f'{size:,}: --auto-scale-lr makes it {rate * size / base:g}')


def _check_batch_norm(model: nn.Module, size: int, processes: int, findings: Findings) -> None:
    from vicmae_mm.models import SyncBN1d
    for name, module in model.named_modules():
        frozen = [not each.requires_grad for each in module.parameters()]
        # BatchNorm2d and 3d also average over positions, so that one sample can be enough.
        if not isinstance(module, nn.BatchNorm1d) or (frozen and all(frozen)):
            continue
        synced = isinstance(module, SyncBN1d)
        if size * (processes if synced else 1) < 2:
            more = (', or train on more processes' if synced else
                    ", or set its norm_cfg=dict(type='vicmae_mm.SyncBN1d')")
            findings.error(
                f'model.{name} (BatchNorm) would use the statistics of a single sample: set '
                f'train_dataloader.batch_size to 2 or more{more}')
            return


def _check_negatives(cfg: Config, model: Any, size: int, pairs: int, processes: int,
                     findings: Findings) -> None:
    from vicmae_mm.models import InfoNCEHead
    head = getattr(model, 'contrast_head', None)
    if head is None:
        return
    total = size * processes
    if isinstance(head, InfoNCEHead):
        seen = total if head.gather else size
        negatives = (seen - 1) * pairs * (2 if head.negatives == 'both' else 1)
        if negatives == 0:
            findings.error('a single pair has no negatives: set train_dataloader.batch_size to 2 '
                           'or more')
        else:
            findings.note(f'contrast: {negatives:,} negatives per frame, from {seen:,} videos per '
                          'step')
            if size == 1:
                findings.warn(f'1 pair per process: all {negatives:,} negatives come from the '
                              'other processes')
    steps = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    if steps > 1:
        findings.warn(
            f'accumulative_counts={steps} adds no negatives and no samples to BatchNorm: the '
            f'contrast sees the {total:,} pairs of one forward pass, not {steps * total:,}; for '
            'more, raise train_dataloader.batch_size or the number of processes')
