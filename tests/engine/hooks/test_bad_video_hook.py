"""BadVideoHook in a real runner."""
import json
from pathlib import Path

import pytest
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Subset

from tests.helpers.videos import make_video
from vicmae_mm.datasets import TooManyBadVideosError, VideoPairDataset
from vicmae_mm.engine.hooks.bad_video_hook import BadVideoHook, iter_pair_datasets

PIPELINE = [
    dict(type='vicmae_mm.VideoInit'),
    dict(type='vicmae_mm.SampleFramePair'),
    dict(type='vicmae_mm.VideoDecode'),
    dict(type='mmpretrain.PackInputs', input_key='imgs'),
]


class Toy(BaseModel):
    """A model of one number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs, data_samples=None, mode='loss'):
        """The loss."""
        return dict(loss=self.weight * inputs[0].float().mean() / 255)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Seven good videos and one that is none."""
    (tmp_path / 'videos').mkdir()
    for i in range(7):
        make_video(tmp_path / 'videos' / f'{i}.mp4', num_frames=4)
    (tmp_path / 'videos' / 'bad.mp4').write_text('no video')
    return tmp_path / 'videos'


def train(folder: Path, work_dir: Path, workers: int = 0, **dataset) -> Runner:
    """Two epochs."""
    runner = Runner(
        model=Toy(), work_dir=str(work_dir), experiment_name=str(work_dir),
        train_dataloader=dict(
            dataset=dict(type='RepeatDataset', times=2, dataset=dict(
                type='vicmae_mm.VideoPairDataset', data_root=str(folder), pipeline=PIPELINE,
                **dataset)),
            sampler=dict(type='vicmae_mm.EpochSampler'), batch_size=4, num_workers=workers,
            collate_fn=dict(type='default_collate')),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=None, logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[BadVideoHook()])
    runner.train()
    return runner


@pytest.mark.parametrize('workers', [0, 2])
def test_count_is_logged_every_epoch(folder, tmp_path, workers):
    work_dir = tmp_path / 'work'
    runner = train(folder, work_dir, workers, max_bad_share=0.2)
    entry, = map(json.loads, (work_dir / 'bad_videos.jsonl').read_text().splitlines())
    assert entry['path'] == str(folder / 'bad.mp4') and entry['reason']
    log = next(work_dir.rglob('*.log')).read_text()
    line = f"bad videos: 1 of 8 (12.500 %), see {work_dir / 'bad_videos.jsonl'}"
    assert log.count(line) == 2
    assert log.count('Skipped a bad video') == 1
    assert runner.message_hub.get_scalar('train/bad_videos').current() == 1
    assert 'bad_videos: 1.0' in log


def test_training_stops_and_does_not_start_again(folder, tmp_path):
    for _ in range(2):
        with pytest.raises(TooManyBadVideosError, match=r'1 of 8 \(12\.5%\)'):
            train(folder, tmp_path / 'work', max_bad_share=0.1)
    (folder / 'bad.mp4').unlink()  # the advice of the message taken, the ledger left
    runner = train(folder, tmp_path / 'work', max_bad_share=0.1)
    assert runner.epoch == 2


def test_datasets_are_found_in_any_wrapper(folder):
    def dataset():
        return VideoPairDataset(data_root=str(folder))
    first, second = dataset(), dataset()
    repeat = RepeatDataset(first, times=2)
    for wrapped, inner in ((first, [first]), (repeat, [first]), (Subset(first, [0]), [first]),
                           (ConcatDataset([first, second]), [first, second]),
                           (Subset(Subset(repeat, [0]), [0]), [first]), ([1, 2], [])):
        assert list(iter_pair_datasets(wrapped)) == inner
    sliced = Runner.build_dataloader(dict(
        dataset=repeat, sampler=dict(type='DefaultSampler'), batch_size=2,
        num_batch_per_epoch=3))
    assert list(iter_pair_datasets(sliced.dataset)) == [sliced.dataset.dataset]


def test_faults_of_the_machine_count_for_an_epoch(folder, tmp_path):
    runner = train(folder, tmp_path / 'work', max_bad_share=0.5)
    hook = next(hook for hook in runner.hooks if isinstance(hook, BadVideoHook))
    bad_videos = hook._datasets[0].bad_videos
    bad_videos.add(str(folder / '1.mp4'), 'could not be read now', machine=True)
    for count in (2, 1):
        hook.after_train_epoch(runner)
        assert runner.message_hub.get_scalar('train/bad_videos').current() == count
    assert str(folder / 'bad.mp4') in bad_videos
