"""The whole check, in a process of its own."""
import logging
import multiprocessing
import os
import random
import warnings
from importlib import import_module
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from vicmae_mm.utils.errors import InputError

from .batch import check_batch
from .components import check_components
from .disk import check_disk
from .findings import Findings, describe
from .samples import check_samples
from .shapes import check_shapes


class ConfigError(InputError):
    """A config that can't train, with all that is wrong with it."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__('\nerror: '.join(errors))


def check_config(cfg: Config, processes: int = 1) -> Findings:
    """Find what would stop training, without a GPU and without a process group.

    Works in a forked process, so that generators, registries, loggers and memory of this one stay
    as they are.

    Args:
        cfg: The config as it would be trained, with ``work_dir``.
        processes: How many will train.
    """
    _import_components(cfg.get('default_scope'))
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_check, args=(cfg, processes, sender))
    process.start()
    sender.close()
    try:
        findings = receiver.recv()
    except EOFError:
        findings = None
    process.join()
    if findings is None:
        findings = Findings()
        findings.warn(f'the check of the config ended with exit code {process.exitcode}, mostly '
                      'for want of memory: training is tried unchecked')
    return findings


def _import_components(scope: str | None) -> None:
    """Import here, once, what the check and the training after it both need: seconds."""
    for package in ('vicmae_mm', scope if scope in ('mmaction', 'mmpretrain') else None):
        for part in ('models', 'datasets', 'engine') if package and find_spec(package) else ():
            import_module(f'{package}.{part}')


def _check(cfg: Config, processes: int, sender: Connection) -> None:
    findings = Findings()
    logger = _be_quiet()
    torch.set_num_threads(1)  # threads are not forked along
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    os.environ.setdefault('LOCAL_RANK', '0')
    try:
        _run(cfg, processes, findings, logger)
    except Exception as error:
        findings.warn(f'the config could not be checked to the end: {describe(error)}')
    sender.send(findings)


def _run(cfg: Config, processes: int, findings: Findings, logger: MMLogger) -> None:
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    check_components(cfg, findings)
    num_samples, batch, model = 0, None, None
    if cfg.get('train_dataloader') is not None:
        logger.addHandler(listener := _Warnings(findings))  # of missing and bad files
        num_samples, batch = check_samples(cfg, findings)
        logger.removeHandler(listener)
    if isinstance(cfg.get('model'), dict):
        model = check_shapes(cfg, batch, findings)
    if cfg.get('train_dataloader') is not None:
        check_batch(cfg, model, num_samples, _num_views(batch), processes, findings)
    check_disk(cfg, model, findings)


def _num_views(batch: Any) -> int:
    """Frames of a pre-training sample; 1 for samples of one tensor."""
    inputs = batch.get('inputs') if isinstance(batch, dict) else None
    return len(inputs) if isinstance(inputs, list) else 1


def _be_quiet() -> MMLogger:
    """Have nothing printed; returns the logger that is current."""
    warnings.simplefilter('ignore')
    logger = MMLogger.get_instance('config_check')
    logger.handlers = [logging.NullHandler()]
    return logger


class _Warnings(logging.Handler):
    """Takes over warnings that are logged."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(logging.WARNING)
        self.findings = findings

    def emit(self, record: logging.LogRecord) -> None:
        """Take one over."""
        self.findings.warn(record.getMessage())
