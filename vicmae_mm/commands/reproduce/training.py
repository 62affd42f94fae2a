"""Runs of the tables: training that resumes, and its results."""
import json
import logging
import subprocess
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from vicmae_mm.commands.terminal import build_tool_runner
from vicmae_mm.engine.starting.start import AUTO
from vicmae_mm.utils.errors import RunError
from vicmae_mm.visualization import find_scalars


def train(cfg: Config, work_dir: Path, num_gpus: int, tools: Path) -> Path:
    """Train in a work dir, from its newest checkpoint if it has one.

    With two or more GPUs it calls ``dist_train.sh`` of the folder ``tools``.

    Returns:
        The last checkpoint.

    Raises:
        RuntimeError: The command failed.
    """
    cfg.work_dir, cfg.launcher, cfg.resume = str(work_dir), 'none', AUTO
    if num_gpus < 2:
        build_tool_runner(cfg, logging.ERROR).train()
    else:
        work_dir.mkdir(parents=True, exist_ok=True)
        config, output = work_dir / 'reproduce.py', work_dir / 'output.txt'
        cfg.dump(config)
        command = ['bash', str(tools / 'dist_train.sh'), str(config), str(num_gpus), '--resume']
        with open(output, 'a') as file:
            if subprocess.run(command, stdout=file, stderr=subprocess.STDOUT).returncode:
                raise RunError(f'{" ".join(command)} failed: see the end of {output}.')
    return Path(str(find_latest_checkpoint(str(work_dir))))


def last_accuracy(work_dir: Path) -> float:
    """The last top-1 accuracy that runs in a work dir have logged, in percent."""
    for path in reversed(find_scalars(work_dir)):
        values = [record['accuracy/top1'] for record in map(json.loads, path.open())
                  if 'accuracy/top1' in record]
        if values:
            return values[-1]
    raise RunError(f'{work_dir} has no accuracy: its run did not reach validation.')
