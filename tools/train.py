"""Train a model: python tools/train.py CONFIG [--work-dir DIR] [--resume] ..."""
import argparse
import sys

from vicmae_mm.commands.run_tool import run_tool  # isort: skip  (first: patches mmengine)
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from vicmae_mm.commands.launcher import count_processes, is_first_process, prepare_launcher
from vicmae_mm.commands.preflight import ConfigError, check_config
from vicmae_mm.commands.train_options import add_train_options, read_train_config
from vicmae_mm.engine.starting.start import choose_start
from vicmae_mm.engine.starting.work_dir_lock import lock_work_dir
from vicmae_mm.utils.errors import InputError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Train a model.')
    add_train_options(parser)
    return parser.parse_args()


def check(cfg: Config, misspelt: list[str]) -> None:
    """Check the config without a GPU and without waiting for the other processes.

    Raises:
        ConfigError: Lists everything that would stop training.
    """
    findings = check_config(cfg, count_processes(cfg.launcher))
    for line in [*misspelt, *findings.warnings]:
        print(f'warning: {line}', file=sys.stderr, flush=True)
    if findings.errors:
        raise ConfigError(findings.errors)


def check_epoch(runner: Runner) -> None:
    """Raise ValueError if ``drop_last`` leaves no batch, before mmengine's schedulers fail."""
    loader = runner.train_loop.dataloader
    if len(loader) == 0:
        raise InputError(
            f'{len(loader.dataset)} samples over {get_world_size()} process(es) do not fill one '
            f'batch of {loader.batch_size}: lower train_dataloader.batch_size.')


def main() -> None:
    """Check the config, then train the model."""
    cfg, misspelt = read_train_config(parse_args())
    # One process is enough: if it exits, the launcher ends the others.
    prepare_launcher(cfg.launcher)
    if is_first_process(cfg.launcher):
        check(cfg, misspelt)
        lock_work_dir(cfg.work_dir)  # before anything is written there
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    check_epoch(runner)
    choose_start(runner)
    runner.train()


if __name__ == '__main__':
    run_tool(main)
