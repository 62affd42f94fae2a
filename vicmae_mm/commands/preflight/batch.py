"""What a batch means for BatchNorm, for the negatives and for the learning rate."""
from typing import Any

from mmengine.config import Config
from torch import nn

from .findings import Findings


def check_batch_size(cfg: Config, findings: Findings) -> int:
    """The samples of a process and step; 0 if they are no whole number from 1 up."""
    size = cfg.train_dataloader.get('batch_size', 1)
    if isinstance(size, int) and size >= 1:
        return size
    if cfg.train_dataloader.get('batch_sampler') is None:
        findings.error(f'train_dataloader.batch_size={size!r} must be a whole number from 1 up')
    return 0


def check_batch(cfg: Config, model: nn.Module | None, num_samples: int, num_views: int,
                processes: int, findings: Findings) -> None:
    """Compare the batch with the dataset, BatchNorm, the contrast and the learning rate.

    Args:
        cfg: The config.
        model: Its model, if it could be built.
        num_samples: Of the dataset for training.
        num_views: Frames of a sample of pre-training.
        processes: How many will train.
    """
    size = check_batch_size(cfg, findings)
    if not size:
        return
    _check_epoch(cfg, size, num_samples, processes, findings)
    _check_learning_rate(cfg, size * processes, findings)
    if model is not None:
        _check_batch_norm(model, size, processes, findings)
        _check_negatives(cfg, model, size, max(num_views // 2, 1), processes, findings)


def _check_epoch(cfg: Config, size: int, num_samples: int, processes: int,
                 findings: Findings) -> None:
    sampler = cfg.train_dataloader.get('sampler') or {}
    own = num_samples // processes
    if sampler.get('round_up', True) and num_samples % processes:
        own += 1  # a few samples are repeated
    if num_samples and size > own and cfg.train_dataloader.get('drop_last'):
        advice = (f'lower train_dataloader.batch_size to {own} or less' if own else
                  'train on fewer processes')
        findings.error(f'{num_samples} samples over {processes} process(es) make no whole batch '
                       f'of {size}: {advice}')


def _check_learning_rate(cfg: Config, size: int, findings: Findings) -> None:
    scaling = cfg.get('auto_scale_lr') or {}
    base = scaling.get('base_batch_size')
    rate = ((cfg.get('optim_wrapper') or {}).get('optimizer') or {}).get('lr')
    if not base or not rate or scaling.get('enable') or base == size:
        return
    findings.warn(f'the learning rate {rate:g} is for {base:,} samples a step, here they are '
                  f'{size:,}: --auto-scale-lr makes it {rate * size / base:g}')


def _check_batch_norm(model: nn.Module, size: int, processes: int, findings: Findings) -> None:
    from vicmae_mm.models import SyncBN1d
    for name, module in model.named_modules():
        frozen = [not each.requires_grad for each in module.parameters()]
        if not isinstance(module, nn.BatchNorm1d) or (frozen and all(frozen)):
            continue
        synced = isinstance(module, SyncBN1d)
        if size * (processes if synced else 1) < 2:
            more = (', or train on more processes' if synced else
                    ", or let it have norm_cfg=dict(type='vicmae_mm.SyncBN1d')")
            findings.error(
                f'model.{name} (BatchNorm) has the statistics of a single sample: set '
                f'train_dataloader.batch_size to 2 or more{more}')
            return


def _check_negatives(cfg: Config, model: Any, size: int, pairs: int, processes: int,
                     findings: Findings) -> None:
    from vicmae_mm.models import InfoNCEHead
    head = getattr(model, 'contrast_head', None)
    if head is None:
        return
    steps = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    everybody = size * processes
    if isinstance(head, InfoNCEHead):
        seen = everybody if head.gather else size
        negatives = (seen - 1) * pairs * (2 if head.negatives == 'both' else 1)
        words = f'{negatives:,} negatives for each frame, of {seen:,} videos a step'
        if negatives == 0:
            findings.error('one pair has nothing to be contrasted with: set '
                           'train_dataloader.batch_size to 2 or more')
        elif size == 1:
            findings.warn(f'1 pair a process: all {negatives:,} negatives come from the other '
                          'processes')
        if negatives:
            findings.note(f'contrast: {words}')
    if steps > 1:
        findings.warn(
            f'accumulative_counts={steps} adds no negatives and no samples to BatchNorm: the '
            f'contrast sees the {everybody:,} pairs of one forward pass, not '
            f'{steps * everybody:,}; raise train_dataloader.batch_size or the processes for that')
