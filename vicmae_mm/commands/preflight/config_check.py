"""The complete check, in a process of its own."""
import multiprocessing
from collections.abc import Iterable
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from mmengine.config import Config
from mmengine.registry import RUNNERS, init_default_scope
from mmengine.runner import Runner

from vicmae_mm.commands.options import setting_at
from vicmae_mm.utils.processes.pool import exit_text

from .disk import check_work_dir
from .dry_run import DryRunner
from .findings import Findings, describe, name_types
from .process import become_training_process, forbid_writing
from .unknown_keys import check_keys


def check_config(cfg: Config, processes: int = 1, options: Iterable[str] = (),
                 task: str = 'train') -> Findings:
    """Find what would stop training (or a test), without a GPU and without a process group.

    Works in a forked process, which leaves random generators, registries, loggers and memory of
    this one unchanged. ``cfg`` is complete, with ``work_dir`` and the ``options`` of the command
    line; ``processes`` will train it.
    """
    # Imported before the fork: otherwise training would import them again, which takes seconds.
    scopes = 'vicmae_mm', cfg.get('default_scope')
    for package in filter(scopes.__contains__, ('vicmae_mm', 'mmaction', 'mmpretrain')):
        for part in ('models', 'datasets', 'engine'):
            import_module(f'{package}.{part}')
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_check, args=(cfg, processes, [*options], task, sender))
    process.start()
    # The child holds the only sender, so that recv() below ends when the child dies.
    sender.close()
    try:
        findings = receiver.recv()
    except EOFError:
        findings = None
    except BaseException:  # Ctrl-C, which may have reached this process only
        process.kill()
        raise
    process.join()
    if findings is None:
        findings = Findings(complete=False)
        findings.warn(f'the config check died ({exit_text(process.exitcode)})')
    return findings


def _check(cfg: Config, processes: int, options: list[str], task: str,
           sender: Connection) -> None:
    findings = Findings()
    try:
        become_training_process(processes)
        init_default_scope(cfg.get('default_scope') or 'mmengine')
        check_work_dir(cfg.work_dir, findings)
        out_dir = setting_at(cfg, 'default_hooks.checkpoint.out_dir')
        forbid_writing([cfg.work_dir, out_dir or cfg.work_dir])
        cfg.launcher = 'none'  # the process group is there, without communication
        _check_run(cfg, options, task, findings)
        name_types(cfg, findings)
    except Exception as error:
        findings.complete = False
        findings.warn(f'the config check could not be completed: {describe(error)}')
    sender.send(findings)


def _check_run(cfg: Config, options: list[str], task: str, findings: Findings) -> None:
    """Build the run of a config, which is complete with ``work_dir``, and check it."""
    kind = RUNNERS.get(cfg.runner_type) if cfg.get('runner_type') else Runner
    if isinstance(kind, type):
        check_keys(cfg, kind, options, findings)
    if kind is None:
        findings.error(f'runner_type={cfg.runner_type!r} is not a registered runner: correct its '
                       'spelling')
    elif not (isinstance(kind, type) and issubclass(kind, Runner)):
        findings.warn(f'runner_type={cfg.runner_type!r} does not derive from Runner: the config '
                      'cannot be checked before training')
    elif _has_groups(cfg, task, findings):
        with findings.catch('config'):
            runner: Any = type('DryRunner', (DryRunner, kind), dict(findings=findings))
            built = runner.from_cfg(cfg)
            built.check() if task == 'train' else built.check_test()


def _has_groups(cfg: Config, task: str, findings: Findings) -> bool:
    """Whether the settings for the task are complete; drops others that are not."""
    for split, third in (
            ('test', 'test_evaluator'), ('val', 'val_evaluator'), ('train', 'optim_wrapper')):
        names = f'{split}_dataloader', f'{split}_cfg', third
        missing = [name for name in names if cfg.get(name) is None]
        if missing and (split == task or len(missing) < len(names)):
            findings.error(f'the config lacks {" and ".join(missing)}: set all of '
                           f'{", ".join(names)}{"" if split == task else ", or none"}')
            for name in names:
                cfg[name] = None
    return cfg[f'{task}_cfg'] is not None
