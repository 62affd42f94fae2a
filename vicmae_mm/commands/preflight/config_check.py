"""The complete check, in a process of its own."""
import multiprocessing
import os
from importlib import import_module
from importlib.util import find_spec
from multiprocessing.connection import Connection

from mmengine.config import Config
from mmengine.registry import init_default_scope

from vicmae_mm.utils.errors import InputError

from .disk import check_work_dir
from .dry_run import check_run
from .findings import Findings, describe
from .misspelt_options import name_types
from .process import become_training_process, forbid_writing

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
    try:
        become_training_process(processes)
        init_default_scope(cfg.get('default_scope') or 'mmengine')
        check_work_dir(cfg.work_dir, findings)
        hook = (cfg.get('default_hooks') or {}).get('checkpoint')
        out_dir = hook.get('out_dir') if isinstance(hook, dict) else None
        forbid_writing([cfg.work_dir, out_dir or cfg.work_dir])
        cfg.launcher = 'none'  # the process group is there, without communication
        check_run(cfg, findings)
        name_types(cfg, findings)
    except Exception as error:
        findings.warn(f'the config check could not be completed: {describe(error)}')
    sender.send(findings)
