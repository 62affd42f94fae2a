"""Runs a job: pre-training, and its evaluations at a scale."""
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from vicmae_mm.apis import load_backbone

from .jobs import Job, missing
from .scaled_configs import pretraining_config, transfer_config
from .tables import EVALUATIONS
from .toy_world import measure_digits, render, write_images
from .training import last_accuracy, train


@dataclass(frozen=True)
class JobRunner:
    """Runs jobs at a scale.

    Args:
        root: Folder of the jobs.
        configs: Folder ``configs`` of the repository; ``tools`` is next to it.
        scale: The settings of the scale, from ``configs/reproduce``.
        num_gpus: GPUs per run.
    """

    root: Path
    configs: Path
    scale: Config
    num_gpus: int

    def __call__(self, job: Job, folder: Path) -> Iterator[dict[str, float]]:
        """Run a job in its folder; yields scores in percent by evaluation."""
        cfg = pretraining_config(self.configs / f'{job.config}.py', self.scale, job.seed)
        world = self.root / f'seed{job.seed}'
        if self.scale.digits:
            clips = render(world, job.seed)
            cfg.train_dataloader.dataset.update(
                data_root='', ann_file='', data_prefix=dict(video=str(clips)))
        checkpoint = self._train(cfg, folder / 'pretraining')
        wanted = missing(job, self.root)
        if self.scale.digits and 'linear' in wanted:
            yield measure_digits(load_backbone(checkpoint), job.seed, self.scale.image_size)
            wanted.remove('linear')
        for evaluation in wanted:
            config = self.configs / f'transfer/imagenet/{EVALUATIONS[evaluation]}.py'
            cfg = transfer_config(config, self.scale, job.seed, checkpoint)
            if self.scale.digits:
                images = write_images(world, job.seed, self.scale.image_size)
                for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
                    cfg[name].dataset.data_root = str(images)
            self._train(cfg, folder / evaluation)
            yield {evaluation: last_accuracy(folder / evaluation)}

    def _train(self, cfg: Config, work_dir: Path) -> Path:
        return train(cfg, work_dir, self.num_gpus, self.configs.parent / 'tools')
