"""Train what a config describes, or continue a run.

    vicmae train configs/vicmae_vit-b16_k400.py --work-dir work_dirs/mine \\
        --auto-scale-lr --epochs 100 --cfg-options train_dataloader.batch_size=64 \\
        train_dataloader.dataset.data_root= train_dataloader.dataset.ann_file= \\
        train_dataloader.dataset.data_prefix.video=path/to/videos
    vicmae train work_dirs/mine/vicmae_vit-b16_k400.py --work-dir work_dirs/mine --resume

Configs exist for pre-training, fine-tuning and linear probes (configs/transfer). A name without a
file stands for a config of this package. docs/your_data.md goes from videos to predictions.
"""
import argparse
import logging
import os
import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until run_tool: the imports take seconds.
    signal.signal(signal.SIGINT, lambda *_: os.write(2, b'Stopped by Ctrl-C.\n') and os._exit(130))

from vicmae_mm.commands.run_tool import run_tool  # isort: skip  (first: patches mmengine)
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from vicmae_mm.commands.launcher import (
    count_processes,
    is_first_process,
    prepare_launcher,
    start_processes,
)
from vicmae_mm.commands.preflight import check_config
from vicmae_mm.commands.run_report import RunReport
from vicmae_mm.commands.stopping import is_stopped
from vicmae_mm.commands.terminal import build_tool_runner
from vicmae_mm.commands.train_options import add_train_options, read_train_config
from vicmae_mm.engine.starting.start import choose_start
from vicmae_mm.engine.starting.work_dir_lock import lock_work_dir
from vicmae_mm.utils.errors import InputError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_train_options(parser)
    return parser.parse_args()


def check_epoch(runner: Runner) -> None:
    """Raise ValueError if ``drop_last`` leaves no batch, before mmengine's schedulers fail."""
    loader = runner.train_loop.dataloader
    if len(loader) == 0:
        raise InputError(
            f'{len(loader.dataset)} samples over {get_world_size()} process(es) do not fill one '
            f'batch of {loader.batch_size}: lower train_dataloader.batch_size.')


def main() -> None:
    """Check the config, then train the model."""
    args = parse_args()
    cfg = read_train_config(args)
    start_processes(__file__, args.devices, cfg.launcher)
    report = RunReport()
    # One process is enough: if it exits, the launcher ends the others.
    prepare_launcher(cfg.launcher)
    if is_first_process(cfg.launcher):
        findings = check_config(cfg, count_processes(cfg.launcher), args.cfg_options or ())
        findings.report()
        report = RunReport(findings.notes, findings.warnings, args.devices)
        lock_work_dir(cfg.work_dir)  # before anything is written there
    runner = build_tool_runner(cfg, logging.DEBUG if args.verbose else logging.INFO)
    check_epoch(runner)
    choose_start(runner)
    runner.register_hook(report)
    try:
        runner.train()
    finally:
        if is_stopped():  # whatever error a signal has led to
            report.stopped(runner)


if __name__ == '__main__':
    run_tool(main)
