"""Runs a job: pre-training that resumes, and its evaluations at a scale."""
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from vicmae_mm.apis import load_backbone
from vicmae_mm.commands.terminal import build_tool_runner
from vicmae_mm.engine.starting.start import AUTO
from vicmae_mm.utils.errors import RunError
from vicmae_mm.visualization import find_scalars

from .jobs import Job, missing
from .scaled_configs import scaled_config
from .tables import EVALUATIONS
from .toy_world import measure_digits, render, write_images


@dataclass(frozen=True)
class JobRunner:
    """Runs jobs at a scale."""

    root: Path  # folder of the jobs
    configs: Path  # the folder of the repository; ``tools`` is next to it
    scale: Config  # the settings of the scale, from ``configs/_base_/scales``
    num_gpus: int  # per run

    def __call__(self, job: Job, folder: Path) -> Iterator[dict[str, float]]:
        """Run a job in its folder; yields scores in percent by evaluation."""
        cfg = self._config(job.config, 'pretraining', job.seed)
        world = self.root / f'seed{job.seed}'
        if self.scale.digits:
            clips = render(world, job.seed)
            cfg.train_dataloader.dataset.update(
                data_root='', ann_file='', data_prefix=dict(video=str(clips)))
        checkpoint = self.train(cfg, folder / 'pretraining')
        wanted = missing(job, self.root)
        if self.scale.digits and 'linear' in wanted:
            yield measure_digits(load_backbone(checkpoint), job.seed, self.scale.image_size)
            wanted.remove('linear')
        for evaluation in wanted:
            cfg = self._config(
                f'transfer/imagenet/{EVALUATIONS[evaluation]}', 'transfer', job.seed)
            cfg.model.backbone.init_cfg.checkpoint = str(checkpoint)
            if self.scale.digits:
                images = write_images(world, job.seed, self.scale.image_size)
                for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
                    cfg[name].dataset.data_root = str(images)
            self.train(cfg, folder / evaluation)
            yield {evaluation: last_accuracy(folder / evaluation)}

    def _config(self, name: str, part: str, seed: int) -> Config:
        return scaled_config(self.configs / f'{name}.py', self.scale, part, seed)

    def train(self, cfg: Config, work_dir: Path) -> Path:
        """Train in a work dir, from its newest checkpoint if it has one; returns the last one.

        Two or more GPUs are left to ``tools/train.py``.
        """
        cfg.work_dir, cfg.launcher, cfg.resume = str(work_dir), 'none', AUTO
        if self.num_gpus < 2:
            build_tool_runner(cfg, logging.ERROR).train()
        else:
            work_dir.mkdir(parents=True, exist_ok=True)
            config, output = work_dir / 'reproduce.py', work_dir / 'output.txt'
            cfg.dump(config)
            script = self.configs.parent / 'tools/train.py'
            command = [sys.executable, str(script), str(config), '--devices', str(self.num_gpus),
                       '--resume']
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
