"""The complete check, in a process of its own."""
import logging
import multiprocessing
import os
import random
import warnings
from importlib import import_module
from importlib.util import find_spec
from multiprocessing.connection import Connection

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

_COUNT = dict(pytorch='WORLD_SIZE', slurm='SLURM_NTASKS', mpi='OMPI_COMM_WORLD_SIZE')
_RANK = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')


class ConfigError(InputError):
    """A config that cannot be trained; the message lists all errors, one per line."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__('\nerror: '.join(errors))


def count_processes(launcher: str) -> int:
    """Processes that the launcher started, without a process group; 1 for ``'none'``."""
    return int(os.environ.get(_COUNT.get(launcher, ''), 1))


def is_first_process(launcher: str) -> bool:
    """Whether this is the process of rank 0."""
    return int(os.environ.get(_RANK.get(launcher, ''), 0)) == 0


def check_config(cfg: Config, processes: int = 1) -> Findings:
    """Find what would stop training, without a GPU and without a process group.

    Works in a forked process, which leaves random generators, registries, loggers and memory of
    this one unchanged. ``cfg`` is complete, with ``work_dir``; ``processes`` will train it.
    """
    # Imported before the fork, so that training does not have to import them again: seconds.
    scope = cfg.get('default_scope')
    for package in ('vicmae_mm', scope if scope in ('mmaction', 'mmpretrain') else None):
        for part in ('models', 'datasets', 'engine') if package and find_spec(package) else ():
            import_module(f'{package}.{part}')
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_check, args=(cfg, processes, sender))
    process.start()
    # The child holds the only sender, so that recv() below ends when the child dies.
    sender.close()
    try:
        findings = receiver.recv()
    except EOFError:
        findings = None
    process.join()
    if findings is None:
        findings = Findings()
        findings.warn(f'the config check died with exit code {process.exitcode}, most likely out '
                      'of memory: training starts without it')
    return findings


def _check(cfg: Config, processes: int, sender: Connection) -> None:
    findings = Findings()
    warnings.simplefilter('ignore')
    # mmengine logs to the logger that was created last; this one prints nothing.
    logger = MMLogger.get_instance('config_check')
    logger.handlers = [logging.NullHandler()]
    torch.set_num_threads(1)  # fork does not copy the threads of torch's pool
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    os.environ.setdefault('LOCAL_RANK', '0')
    try:
        _run(cfg, processes, findings, logger)
    except Exception as error:
        findings.warn(f'the config check could not be completed: {describe(error)}')
    sender.send(findings)


def _run(cfg: Config, processes: int, findings: Findings, logger: MMLogger) -> None:

    def add_warning(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            findings.warn(record.getMessage())
        return True

    init_default_scope(cfg.get('default_scope') or 'mmengine')
    check_components(cfg, findings)
    num_samples, batch, model = 0, None, None
    if cfg.get('train_dataloader') is not None:
        # Datasets log missing and bad files as warnings.
        logger.addFilter(add_warning)
        num_samples, batch = check_samples(cfg, findings)
        logger.removeFilter(add_warning)
    if isinstance(cfg.get('model'), dict):
        model = check_shapes(cfg, batch, findings)
    if cfg.get('train_dataloader') is not None:
        inputs = batch.get('inputs') if isinstance(batch, dict) else None
        num_views = len(inputs) if isinstance(inputs, list) else 1
        check_batch(cfg, model, num_samples, num_views, processes, findings)
    check_disk(cfg, model, findings)
