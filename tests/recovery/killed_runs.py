"""A small pre-training that records every step and is killed at a chosen moment."""
import copy
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.helpers.models import shrink
from tests.helpers.runs import finish_saving
from tests.helpers.videos import make_video
from vicmae_mm.checkpoints import saving
from vicmae_mm.datasets.transforms import decoding
from vicmae_mm.engine.runner_access import unwrapped_model

CONFIG = Path(__file__).parents[2] / 'configs/vicmae_vit-b16_k400.py'
_READ = Config.fromfile(CONFIG)  # once, by the server that the processes are forked from
EPOCHS, BATCH, VIDEOS = 3, 4, 22  # 2 videos do not fill a batch
ITERATIONS = EPOCHS * (VIDEOS // BATCH)
EVERY = 2  # iterations between checkpoints within an epoch
STOCK = {  # mmengine's own parts instead of ours
    'train_cfg.type': 'EpochBasedTrainLoop',
    'train_dataloader.sampler': dict(type='DefaultSampler', shuffle=True, _delete_=True),
    'default_hooks.checkpoint': dict(
        type='CheckpointHook', by_epoch=False, interval=EVERY, _delete_=True),
    'default_hooks.step_seed': None,
}


def write_videos(folder: Path, count: int = VIDEOS) -> Path:
    """Videos of four frames."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        make_video(folder / f'{number}.mp4', 4, gop=1, bframes=0)
    return folder


def train(videos: str, work_dir: str, settings: dict[str, Any],
          kill: tuple[str, int] = ('', 0), rank_to_kill: int | None = 0) -> None:
    """Train one rank with the paper's config, reduced in size.

    Args:
        videos: Folder of :func:`write_videos`.
        work_dir: Rank r records its steps in ``steps_<r>.jsonl``; the names of the videos that a
            process and its workers open are in ``opened_<process>.txt``.
        settings: Replace parts of the config, by dotted name; None removes a hook.
        kill: The moment at which the process is killed, and the iteration.
        rank_to_kill: None for all.
    """
    rank = torch.distributed.get_rank()
    if rank_to_kill not in (rank, None):
        kill = ('', 0)
    runner = Runner.from_cfg(_config(Path(videos), Path(work_dir), settings))
    runner.register_hook(Recorder())
    runner.register_hook(Killer(*kill))
    opened = Path(work_dir) / f'opened_{os.getpid()}.txt'
    with (patch.object(decoding, 'open_video', _recording(opened, kill)),
          patch.object(Config, 'pretty_text', '')):  # takes most of the time of saving
        runner.train()


def _config(videos: Path, work_dir: Path, settings: dict[str, Any]) -> Config:
    cfg = shrink(copy.deepcopy(_READ), videos, work_dir)
    cfg.train_cfg.max_epochs = EPOCHS
    warmup, cosine = cfg.param_scheduler
    warmup.update(start_factor=0.1, end=1)
    cosine.update(begin=1, end=EPOCHS, T_max=EPOCHS - 1)
    world_size = torch.distributed.get_world_size()
    cfg.train_dataloader.batch_size = BATCH // world_size
    if world_size > 1:
        cfg.launcher = 'pytorch'
    cfg.default_hooks.contrast_weight.update(schedule='linear', begin=1, ramp_epochs=2)
    cfg.default_hooks.checkpoint.update(interval=1, mid_epoch_interval=EVERY)
    for name in ('reconstruction', 'curves'):  # pictures take most of the time
        del cfg.default_hooks[name]
    cfg.custom_hooks = [dict(type='EMAHook')]
    cfg.merge_from_dict(settings)
    cfg.default_hooks = {name: hook for name, hook in cfg.default_hooks.items() if hook}
    return cfg


def notes(work_dir: Path, rank: int = 0) -> list[dict]:
    """The records of all steps."""
    return [json.loads(line) for line in (work_dir / f'steps_{rank}.jsonl').open()]


def opened_videos(work_dir: Path) -> dict[Path, Counter]:
    """How often each process and its workers opened which video."""
    return {path: Counter(path.read_text().split()) for path in work_dir.glob('opened_*.txt')}


class Recorder(Hook):
    """Record every step: exact losses, samples, masks, position and learning rate."""

    def before_train(self, runner: Runner) -> None:
        """Keep the masks of every forward pass."""
        unwrapped_model(runner).backbone.register_forward_hook(self._keep_masks)

    def _keep_masks(self, backbone: Any, inputs: Any, outputs: Any) -> None:
        self.masks = [''.join(map(str, row)) for row in outputs[1].int().tolist()]

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        """Append one record."""
        note = dict(
            iter=runner.iter, batch_idx=batch_idx, lr=runner.optim_wrapper.get_lr()['lr'][0],
            samples=[Path(sample.filename).name for sample in data_batch['data_samples']],
            masks=self.masks,
            losses={name: float(value.detach()).hex() for name, value in outputs.items()})
        with (Path(runner.work_dir) / f'steps_{runner.rank}.jsonl').open('a') as file:
            file.write(json.dumps(note) + '\n')


class Killer(Hook):
    """Kill the process at some point of an iteration, or of the first save after it."""

    priority = 'ABOVE_NORMAL'

    def __init__(self, moment: str, iteration: int) -> None:
        self.moment = moment
        self.iteration = iteration

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Arm this iteration."""
        if runner.iter != self.iteration:
            return
        model = unwrapped_model(runner)
        match self.moment:
            case 'next step':
                _die()
            case 'saved':
                finish_saving(runner)
                _die()
            case 'forward':
                model.neck.register_forward_pre_hook(_die)
            case 'backward':
                model.backbone.patch_embed.projection.weight.register_hook(_die)
            case 'optimizer':
                runner.optim_wrapper.optimizer.register_step_post_hook(_die)
            case 'writing':
                saving._Stream.write = _write_half
            case 'renamed':
                os.replace = partial(_replace_and_die, os.replace)

    def after_train_epoch(self, runner: Runner) -> None:
        """Kill the process between two epochs."""
        if self.moment == 'between epochs' and runner.iter >= self.iteration:
            _die()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Kill the process just before it saves."""
        if self.moment == 'saving' and runner.iter >= self.iteration:
            _die()


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _write_half(stream: Any, data: bytes) -> None:
    stream.file.write(data[:len(data) // 2])
    stream.file.flush()
    time.sleep(.05)  # training goes on
    _die()


def _replace_and_die(replace: Callable, source: Any, target: Any) -> None:
    replace(source, target)
    if str(target).endswith('.pth'):
        _die()


def _recording(path: Path, kill: tuple[str, int]) -> Callable:
    """``open_video`` that records each name, and kills the training at a chosen video."""
    stock, training = decoding.open_video, os.getpid()

    def open_video(name: str, *args: Any) -> Any:
        with path.open('a') as file:
            file.write(Path(name).name + '\n')
        if kill[0] == 'loading' and len(path.read_text().split()) == BATCH * kill[1]:
            os.kill(training, signal.SIGKILL)
        return stock(name, *args)

    return open_video
